"""Signs access tokens."""

from datetime import UTC, datetime, timedelta

import jwt

from media_service import config


def sign(
    settings: config.Config,
    key: str,
    user: str,
    lifetime: timedelta,
    *,
    org: str = "",
    roles: tuple[str, ...] = (),
    scopes: tuple[str, ...] = (),
) -> str:
    """Returns an HS256 token. Without scopes, it has every permission of its user."""
    issued = datetime.now(UTC)
    claims: dict[str, object] = {"sub": user, "iat": issued, "exp": issued + lifetime}
    optional = {
        "org": org,
        "roles": list(roles),
        "scope": " ".join(scopes),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
    }
    claims |= {name: value for name, value in optional.items() if value}
    return jwt.encode(claims, key, algorithm="HS256")
