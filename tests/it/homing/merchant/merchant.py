"""A merchant as the technical documentation of Homing Space describes one, and no more: three "files" in one small program.

It was written from that text and from the hub's own page for merchants (docs/homing.md), shares no line with the node, and does
what the text suggests even where one could do better: the one-time password is an MD5, its own clock decides about ten seconds,
there is no cookie, a user is somebody whose name it has seen before. What it needs is Python 3 and libsodium.

    python3 merchant.py SETTINGS.json

It prints `listening on PORT` and serves until it is killed. The settings:

    listen    port to listen on at 127.0.0.1; 0: any
    cert,key  its certificate and key (PEM)
    url       where browsers reach it, https://plain.test
    hub       the hub's address, https://hub.test/homing/hub
    hub_at    [host, port] where that name leads
    ca        certificates to trust (PEM)
    site      the site's public id, hst_...
    sauce     the secret sauce, hss_...
    sign_key  file with the persona's sign key, as the page "reveal keys" gives it
    persona   the merchant's own persona
    scopes    "mandatory;scopes|optional;scopes"
    query     what of its own it puts before the rest of the endpoint's query, raw
    window    for how many seconds an endpoint may be used
"""

import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import html
import http.client
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse

with open(sys.argv[1], encoding="utf-8") as settings_file:
    SETTINGS = json.load(settings_file)

SODIUM = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
if SODIUM.sodium_init() < 0:
    sys.exit("libsodium does not start")

USERS = {}
LOCK = threading.Lock()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(message):
    """Ed25519, detached, with the key that "reveal keys" showed."""
    with open(SETTINGS["sign_key"], encoding="ascii") as key_file:
        line = key_file.read().strip()
    seed = base64.urlsafe_b64decode(line.replace("+", "-").replace("/", "_") + "=" * (-len(line) % 4))[:32]
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
    SODIUM.crypto_sign_seed_keypair(public, secret, seed)
    signature = ctypes.create_string_buffer(64)
    SODIUM.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), secret)
    return signature.raw


def one_time_password(username, ts):
    return hashlib.md5((username + ts + SETTINGS["sauce"]).encode()).hexdigest()


def merchant_page():
    """The first file: one input for the name, the scopes read-only."""
    persona, scopes = html.escape(SETTINGS["persona"]), html.escape(SETTINGS["scopes"], quote=True)
    return f"""<!doctype html><title>Sign in</title>
<p>We are <b>{persona}</b> in Homing Space; look for that name when you are asked.</p>
<form method="post" action="/homingentry-sign">
<input name="username" placeholder="your persona">
<input name="scopes" value="{scopes}" readonly>
<button>Enter</button></form>"""


def welcome(form):
    """The second file: signs a one-time password, tells the hub, sends the browser on."""
    username, ts, n = form["username"], str(int(time.time())), b64url(os.urandom(16))
    otp = one_time_password(username, ts)
    own = urllib.parse.urlencode({"username": username, "ts": ts, "n": n, "otp": otp})
    payload = json.dumps({
        "username": username, "scopes": SETTINGS["scopes"], "endpoint": SETTINGS["url"] + "/endpoint",
        "query": SETTINGS["query"] + own, "ts": int(ts), "n": n, "otp": otp, "otp_alg": "md5", "state_hash": "",
        "lang": "en",
    }).encode()
    body = urllib.parse.urlencode({
        "v": "1", "site": SETTINGS["site"], "payload": b64url(payload),
        "sig": b64url(signed(b"homing/welcome/v1\0" + payload)),
    })
    status, answer = ask_hub("/api/v1/welcome", body)
    return answer["welcome_url"] if status == 202 else None


def ask_hub(path, body):
    hub = urllib.parse.urlsplit(SETTINGS["hub"])
    context = ssl.create_default_context(cafile=SETTINGS["ca"])
    connection = http.client.HTTPConnection(hub.hostname)
    plain = socket.create_connection(tuple(SETTINGS["hub_at"]), timeout=10)
    connection.sock = context.wrap_socket(plain, server_hostname=hub.hostname)
    connection.request("POST", hub.path + path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def arrival(raw_query, form):
    """The third file: is it the right user, and in time? What came, for whoever wants to look."""
    query = {name: values[-1] for name, values in urllib.parse.parse_qs(raw_query, keep_blank_values=True).items()}
    username, ts = query.get("username", ""), query.get("ts", "")
    if not hmac.compare_digest(one_time_password(username, ts), query.get("otp", "")):
        return 403, {"error": "the password is wrong"}
    if not 0 <= time.time() - int(ts) < SETTINGS["window"] + 1:
        return 403, {"error": "too late"}
    mandatory = [name for name in SETTINGS["scopes"].split("|")[0].split(";") if name]
    if any(not form.get("sc_" + name) for name in mandatory):
        return 403, {"error": "something that must be given is missing"}
    with LOCK:
        known = USERS.setdefault(username, {"visits": 0, "f_in_g": query["f_in_g"]})
        known["visits"] += 1
        same_person = [name for name, user in USERS.items() if user["f_in_g"] == query["f_in_g"]]
        seen = {"username": username, "visits": known["visits"], "also_known_as": sorted(same_person)}
    return 200, {**seen, "query": raw_query, "get": query, "post": form}


class Merchant(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, merchant_page().encode(), "text/html; charset=utf-8")

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = dict(urllib.parse.parse_qsl(raw, keep_blank_values=True))
        path, _, query = self.path.partition("?")
        if path == "/homingentry-sign":
            location = welcome(form)
            if location:
                self.send_response(303)
                self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.answer(503, b"not now", "text/plain")
        elif path == "/endpoint":
            status, seen = arrival(query, form)
            self.answer(status, json.dumps(seen).encode(), "application/json")
        else:
            self.answer(404, b"nothing here", "text/plain")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Requests hold passwords."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", SETTINGS["listen"]), Merchant)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(SETTINGS["cert"], SETTINGS["key"])
# The handshake belongs to the connection's own thread.
server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(f"listening on {server.server_address[1]}", flush=True)
server.serve_forever()
