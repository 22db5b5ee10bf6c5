"""Whether values are what the document's schemas say.

On standard input: {"document": …, "values": [{"what": …, "schema": JSON POINTER, "value": …, "answer": true|false}]}. An answer must
also have no field that its schema does not name: what the node tells is described.
"""

import json
import sys
from urllib.parse import quote

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FORMATS = Draft202012Validator.FORMAT_CHECKER
BRANCHES = ("allOf", "anyOf", "oneOf")


def closed(schema, inside=False):
    """A schema that knows no further fields. Branches of an object are closed with it, not each for itself."""
    if isinstance(schema, list):
        return [closed(one, inside) for one in schema]
    if not isinstance(schema, dict):
        return schema
    is_object = "properties" in schema
    made = {}
    for name, value in schema.items():
        if name in ("example", "examples", "default", "enum", "const"):
            made[name] = value
        elif name in BRANCHES:
            made[name] = closed(value, inside or is_object)
        elif name == "properties":
            made[name] = {field: closed(inner) for field, inner in value.items()}
        else:
            made[name] = closed(value)
    if is_object and not inside and "additionalProperties" not in schema:
        made["unevaluatedProperties"] = False
    return made


def validators(document):
    registry = Registry().with_resource("urn:document", Resource(contents=document, specification=DRAFT202012))
    return lambda pointer: Draft202012Validator(
        {"$ref": "urn:document#" + quote(pointer)}, registry=registry, format_checker=FORMATS
    )


given = json.load(sys.stdin)
as_it_is, as_answered = validators(given["document"]), validators(closed(given["document"]))
wrong = []
for one in given["values"]:
    validator = (as_answered if one["answer"] else as_it_is)(one["schema"])
    for error in validator.iter_errors(one["value"]):
        place = "/".join(map(str, error.absolute_path))
        wrong.append(f"{one['what']}: at /{place}: {error.message[:300]}")
        for inner in sorted(error.context or [], key=lambda inner: len(inner.absolute_path))[:6]:
            wrong.append(f"    {'/'.join(map(str, inner.absolute_path))}: {inner.message[:200]}")
print(f"{len(given['values'])} values")
sys.exit("\n".join(wrong[:60]) if wrong else 0)
