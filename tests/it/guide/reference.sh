# The node beside which the reference pages are read: `shop.example` with the doors that the pages show, its neighbour
# `other.example`, and a stand-in for the places elsewhere that the pages name.
names=(shop.example your.domain other.example example.com auth.example.com)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=shop.example \
    -addext "subjectAltName=$(printf 'DNS:%s,' "${names[@]}" | sed 's/,$//')" -addext basicConstraints=critical,CA:FALSE \
    -keyout tls.key -out tls.pem 2>/dev/null
export CURL_CA_BUNDLE=$PWD/tls.pem
printf '127.0.0.1 localhost shop.example your.domain\n127.0.0.2 other.example\n127.0.0.3 example.com auth.example.com\n' > hosts
mount --bind hosts /etc/hosts

node() {
    cat <<TOML
mode = "development"
domain = "$1"
data_dir = "$2"

[public]
listen = "$3"
tls_cert = "tls.pem"
tls_key = "tls.key"

[private]
listen = "$4"

[outbound]
ca_file = "tls.pem"

[providers]
sms = [{ kind = "recording", name = "file", file = "codes.jsonl" }]

[textsecure]
enabled = true

[mailbox]
enabled = true

[mesibo]
enabled = true
test_codes = [{ app = "com.example.app", address = "18005551234", code = "012345", valid_until = "2099-01-01T00:00:00Z" }]

[development]
allow_addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
# Webhooks of the pages lie on shop.example, too.
resolve = { "$5" = "$6", "example.com" = "127.0.0.3:443", "auth.example.com" = "127.0.0.3:443" ${7-} }
TOML
}
node shop.example data 127.0.0.1:443 127.0.0.1:8081 other.example 127.0.0.2:443 ', "shop.example" = "127.0.0.3:443"' > handfast.toml
node other.example other 127.0.0.2:443 127.0.0.2:8081 shop.example 127.0.0.1:443 > other.toml

cat > elsewhere.py <<'PYTHON'
import http.server, ssl

class Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

server = http.server.ThreadingHTTPServer(("127.0.0.3", 443), Elsewhere)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("tls.pem", "tls.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PYTHON
python3 elsewhere.py 2> elsewhere.log &
handfast up > up.log 2>&1 &
handfast up --config other.toml > other.log 2>&1 &
wait_for 'curl -fs http://127.0.0.1:8081/readyz && curl -fs http://127.0.0.2:8081/readyz' || { cat up.log other.log >&2; exit 1; }
export KEY=$(cat data/api.key) NODE=http://127.0.0.1:8081

handfast account create 0012345 --name Ann --config other.toml > /dev/null
code=$(handfast passcode issue 0012345 --config other.toml --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pass_code"])')
printf 'customer_id,customer,order_id,status\n0012345,0012345,7,sent\n' > orders.csv
printf 'name\nAnn\nBob\n' > rows.csv
printf 'correct horse battery staple\n' > password
printf 'a-token-of-an-application-0123456789' > app-token

# What a page finds.
page() {
    case $1 in
    docs/webhooks.md) handfast webhook delete orders > /dev/null ;;
    docs/dead-letters.md) id=$(handfast delivery list --limit 1 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])') ;;
    docs/events.md) (sleep 1; handfast webhook test orders) > /dev/null 2>&1 & ;;
    esac
}
