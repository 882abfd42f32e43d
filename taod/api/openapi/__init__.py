"""The OpenAPI document: parameters, responses, examples."""
