"""What schemathesis needs to know that a description cannot tell."""

import os

import requests
import schemathesis

_send = requests.adapters.HTTPAdapter.send


def send(self, request, **options):
    """A stream of events never ends: that it begins is all there is to see."""
    response = _send(self, request, **{**options, "stream": True})
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        response.close()
        response._content, response._content_consumed = b"", True
    return response


requests.adapters.HTTPAdapter.send = send


@schemathesis.hook
def before_call(context, case, kwargs):
    # Nobody has time to wait for a minute again and again; a second is as good.
    wait = str((case.query or {}).get("wait"))
    if wait.isdigit() and 1 < int(wait) <= 60:
        case.query["wait"] = 1
    # It finds ids in answers and tries what can be done to them: without the key that it asks with, all the rest would be refused.
    if case.operation.path == "/keys/{id}" and (case.path_parameters or {}).get("id") == os.environ["OWN_KEY"]:
        case.path_parameters["id"] = "00000000-0000-0000-0000-000000000000"


@schemathesis.serializer("application/x-ndjson", "text/csv")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
