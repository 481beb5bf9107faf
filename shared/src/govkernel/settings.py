"""The environment, typed: what a service's process is told when it starts."""

from typing import Literal

from pydantic import AnyHttpUrl, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every service reads from the environment; each name carries the prefix `GOV_`."""

    model_config = SettingsConfigDict(env_prefix="GOV_", extra="ignore", frozen=True)

    database_url: SecretStr = Field(description="PostgreSQL of this service, as its application role")
    migration_database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL of this service, as the role that owns its tables"
    )
    kafka_bootstrap_servers: str = Field(min_length=1, description="host:port, several separated by commas")
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8000, ge=0, le=65535)
    oidc_issuer: AnyHttpUrl = Field(description="who issues the tokens; must equal their claim `iss`")
    oidc_audience: str = Field(default="gatehouse", min_length=1)
    oidc_jwks_url: AnyHttpUrl | None = Field(default=None, description="the issuer's keys; default: as it says itself")
    demo: bool = Field(default=False, description="whether the demo clock may be used, under the demo issuer")
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="where traces are sent by OTLP over HTTP; none are made without it",
    )
    longest_lag_s: float = Field(
        default=30.0, gt=0, description="how far a consumer may be behind before the service is not ready"
    )

    @property
    def issuer(self) -> str:
        """The issuer as tokens name it: without the slash that a bare host is given by the URL's parser."""
        return str(self.oidc_issuer).rstrip("/")
