"""The columns of the matrix: who calls."""

from collections.abc import Mapping
from datetime import timedelta

from media_service.clock import now
from tests.support.rpc.server import token

ISSUER, AUDIENCE = "https://issuer.example", "media"
SETTINGS = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
# Users with a role on the place of a row.
ROLES = {"viewer": 1, "commenter": 2, "editor": 3, "manager": 4, "owner": 5}
# Who owns what the others call for, and the administrator.
AUTHOR, ADMINISTRATOR = "ann", "root"

# `outsider`: owns another organization, and was granted OWNER on each place. `elsewhere`: the
# owner, with a token for another organization. `member`: belongs to the organization, without a
# role. `service_account`: an editor. `api_key`: of the same account, for media.read only. The links
# share a project of acme; two of them ended after their sessions began.
LINKS = {
    "link_view": "VIEW",
    "link_download": "DOWNLOAD",
    "link_upload": "UPLOAD",
    "expired_link": "DOWNLOAD",
    "revoked_link": "DOWNLOAD",
}
# Callers who are not authenticated.
NOBODIES = ("nobody", "expired", "audience", "issuer", "revoked_key")
CALLERS = (
    *NOBODIES,
    *("stranger", "outsider", "elsewhere", "member", *ROLES),
    *("administrator", "service_account", "api_key", *LINKS),
)


def bearer(user: str, **claims: object) -> str:
    return token(user, **{"iss": ISSUER, "aud": AUDIENCE, **claims})


def tokens() -> Mapping[str, str]:
    """The tokens of the callers that have one."""
    return {
        "nobody": "",
        "expired": bearer("owner", exp=now() - timedelta(hours=1)),
        "audience": bearer("owner", aud="another service"),
        "issuer": bearer("owner", iss="https://another.example"),
        "stranger": bearer("stranger"),
        "outsider": bearer("outsider"),
        "elsewhere": bearer("owner", org="globex"),
        "member": bearer("member"),
        **{role: bearer(role) for role in ROLES},
        "administrator": bearer(ADMINISTRATOR),
    }
