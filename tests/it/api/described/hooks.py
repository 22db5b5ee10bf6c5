"""What schemathesis needs to know that a description cannot tell."""

import requests
import schemathesis

_send = requests.adapters.HTTPAdapter.send


def send(self, request, **options):
    """A stream of events never ends: that it begins is all there is to see."""
    response = _send(self, request, **{**options, "stream": True})
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        response._content, response._content_consumed = b"", True
        response.close()
    return response


requests.adapters.HTTPAdapter.send = send


@schemathesis.hook
def before_call(context, case, kwargs):
    """Nobody has time to wait for a minute again and again; a second is as good."""
    wait = case.query.get("wait") if case.query else None
    if str(wait).isdigit() and 1 < int(wait) <= 60:
        case.query["wait"] = 1


@schemathesis.serializer("application/x-ndjson", "text/csv")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
