"""Whether the document on standard input is OpenAPI 3.1, by its official schema, and every schema in it JSON Schema 2020-12."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(sys.stdin)
errors = [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()]


def walk(value, place):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("schema", "x-item-schema"):
                Draft202012Validator.check_schema(inner)
            walk(inner, f"{place}/{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            walk(inner, f"{place}/{number}")


for schema in document["components"]["schemas"].values():
    Draft202012Validator.check_schema(schema)
walk(document["paths"], "")
sys.exit("\n".join(errors[:20]) if errors else 0)
