"""Inputs fetched from the package registry: models, facts and pages, verified and cached."""
