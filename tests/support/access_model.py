"""Random organizations, projects, groups and grants, and a model of who may do what with media."""

from dataclasses import dataclass
from random import Random

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.blobs.model import Blob
from media_service.db.transaction import Connection
from media_service.ids import new_id
from media_service.media import queries
from media_service.media.model import Kind, NewMedia
from media_service.sharing import queries as sharing
from media_service.storage.checksums import Checksums

ORGANIZATIONS = ["acme", "globex"]
BOUND = {"acme": "", "globex": "https://other"}
CLAIMED = ["", "", "", "acme", "globex", "unlisted"]
USERS = ["ann", "bob", "cat"]
GROUPS = {"g1": "acme", "g2": "globex"}
PROJECTS = ["p1", "p2", "p3", "p4"]


@dataclass(frozen=True)
class World:
    """`grants`: the role of each valid (resource, grantee)."""

    media: list[NewMedia]
    members: set[tuple[str, str]]
    grants: dict[tuple[str, str], int]
    expired: dict[tuple[str, str], int]
    callers: list[Principal]
    projects: dict[str, Owner]


def keys_of(media: NewMedia) -> set[str]:
    owner = media.owner
    return {
        f"media:{media.media_id}",
        f"project:{media.project_id}",
        f"owner:{owner.org_id}/{owner.type}:{owner.id}",
        f"organization:{owner.org_id}",
    }


def random_owner(random: Random, organizations: list[str]) -> Owner:
    org = random.choice(organizations)
    return Owner(*random.choice([*(("user", u) for u in USERS), ("event", "gala")]), org)


def random_world(random: Random) -> World:
    projects = {project: random_owner(random, ["", *ORGANIZATIONS]) for project in PROJECTS}
    media = []
    for _ in range(10):
        project = random.choice(["", *PROJECTS])
        own = [projects[project].org_id] if project else ["", *ORGANIZATIONS, "unlisted"]
        owner = random_owner(random, own)
        blob = Blob(new_id(), "raw", new_id(), 1, Checksums(0))
        attributes = (new_id(), owner, Kind.IMAGE, "image/png", "a.png", blob, project)
        media.append(NewMedia(*attributes))
    resources = sorted({"service:"}.union(*map(keys_of, media)) - {"project:"})
    people = [f"user:{user}" for user in USERS]
    grantees = [*people, *people, *(f"group:{group}" for group in GROUPS), "everybody"]
    grantees += [*(f"project:{p}" for p in PROJECTS), *(f"organization:{o}" for o in ORGANIZATIONS)]
    grants: dict[tuple[str, str], int] = {}
    for _ in range(random.randrange(14)):
        resource = random.choice(resources)
        grantee = random.choice(people if resource == "service:" else grantees)
        grants[resource, grantee] = random.randint(1, 5)
    inner, outer = random.sample(PROJECTS, 2)
    grants[f"project:{inner}", random.choice(people)] = random.randint(1, 5)
    grants[f"project:{outer}", f"project:{inner}"] = random.randint(1, 5)
    for user in people:
        for org in ORGANIZATIONS:
            if random.random() < 0.5:
                grants.setdefault((f"organization:{org}", user), 0)
    expired = {key: role for key, role in grants.items() if random.random() < 0.15}
    valid = {key: role for key, role in grants.items() if key not in expired}
    members = {(g, p) for g in GROUPS for p in people if random.random() < 0.5}
    callers = [
        Principal(
            random.choice(USERS),
            random.choice(CLAIMED),
            org_issuer=random.choice(["", "https://other"]),
            administrator=random.random() < 0.05,
        )
        for _ in range(8)
    ]
    return World(media, members, valid, expired, callers, projects)


def model_role(world: World, caller: Principal, owner: Owner, keys: set[str]) -> int:
    """The rules of docs/design/access.md."""
    me, claim, org = caller.grantee, caller.org_id, owner.org_id
    belongs = {o.partition(":")[2] for o, g in world.grants if g == me and "organization:" in o}
    belongs &= {claim} if claim else belongs
    belongs |= {claim} if BOUND.get(claim, "") == caller.org_issuer or not claim else set()
    names = {me, "everybody"} | {f"group:{g}" for g, member in world.members if member == me}
    names |= {f"organization:{each}" for each in belongs if each}
    grants = [(r, g, role) for (r, g), role in world.grants.items()]
    most = dict.fromkeys(names, 5)
    for resource, _, role in [each for each in grants if each[1] in names and each[0][:2] == "pr"]:
        most[resource] = max(most.get(resource, 0), role)
    roles = [min(role, most[g]) for r, g, role in grants if r in keys and g in most]
    roles += [5] if (owner.type, owner.id) == ("user", caller.id) else []
    service = 5 if caller.administrator else world.grants.get(("service:", me), 0)
    return max([0, *(roles if org in belongs else []), service if claim in {"", org} else 0])


async def build(db: Connection, world: World) -> None:
    await db.execute(
        "truncate media, media_versions, blobs, access_grants, organizations, groups, projects"
        " cascade"
    )
    for project, owner in world.projects.items():
        await sharing.insert_project(db, project, owner, "")
    await queries.insert(db, world.media)
    for org in ORGANIZATIONS:
        await db.execute("insert into organizations values (%s, '', %s)", (org, BOUND[org]))
    for group, org in GROUPS.items():
        await db.execute("insert into groups values (%s, %s)", (group, org))
    for member in world.members:
        await db.execute("insert into group_members values (%s, %s)", member)
    for grants, expires in ((world.grants, None), (world.expired, "-infinity")):
        for (resource, grantee), role in grants.items():
            await db.execute(
                "insert into access_grants (resource, grantee, role, expire_time)"
                " values (%s, %s, %s, %s)",
                (resource, grantee, role, expires),
            )
