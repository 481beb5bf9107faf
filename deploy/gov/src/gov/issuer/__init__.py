"""The demonstration's own OIDC issuer: anybody may be anybody, so it exists only where GOV_DEMO says so."""
