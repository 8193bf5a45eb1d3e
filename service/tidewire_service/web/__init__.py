"""What every request passes: origin guard, authorization, query, problems and the OpenAPI document."""
