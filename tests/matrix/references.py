"""The fields of requests that name a thing beside the resource of the method.

A stranger sends each with a thing of others, and with one that does not exist: the answers must be
equal. `$own` is a media of the stranger, and `$mine` their project, `$album` their collection,
`$hook` their webhook.
"""

from collections.abc import Iterator
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from media_service.ids import new_id
from tests.matrix.rows import BY_NAME, OF_BATCHES, Row
from tests.matrix.world import (
    ORGANIZATION,
    PROJECT,
    Place,
    Target,
    World,
    account,
    collection,
    delivery,
    group,
    listed,
    media,
    new_project,
    project,
)
from tests.support.contract_rules import rule_of

OUTPUT_ONLY = field_behavior_pb2.FieldBehavior.OUTPUT_ONLY
# Fields that name things, besides those whose name ends in "_id".
NAMING = {"resource", "target", "account", "grantee", "member", "ops", "owner", "filter"}
# What is no name of a thing of others: keys of the caller, the id of what is created, users, who
# need not exist, and what must be empty.
NO_NAMES = {
    *("request_id", "CreateOrganization.organization_id", "UploadSpec.media_id"),
    *("member", "user_id"),
}
# What the rows of the matrix try, although the rule of the method does not name it.
IN_ROWS = {
    *("SetQuota.account", "RecalculateQuota.account"),
    *("CreateWatchTicket.upload_id", "CreateWatchTicket.job_id", "GetErasure.erasure_id"),
    *("CreateWatchTicket.media_id", "CreateWatchTicket.collection_id"),
    "GetArchiveContent.archive_id",
}
STRANGER = "stranger"
OWN = ("own", "mine", "album", "hook")
ACME_OWNER = {"type": "user", "id": "ann", "organizationId": "$organization"}


async def with_own(world: World, place: Place, make: Any) -> Target:
    """A target of others, and a media, a project, a collection and a webhook of the stranger."""
    target: Target = await make(world, place)
    own = Place("", "", owner=("user", STRANGER))
    mine = new_project()
    await world.execute(
        "insert into projects (project_id, owner_type, owner_id) values (%s, 'user', %s)",
        *(mine, STRANGER),
    )
    album = new_id()
    await world.execute(
        "insert into collections (collection_id, owner_type, owner_id, path, title)"
        " values (%s, 'user', %s, array[%s::uuid], '')",
        *(album, STRANGER, album),
    )
    hook = new_id()
    await world.execute(
        "insert into webhooks (webhook_id, resource, org_id, owner_type, owner_id, claimed_org_id,"
        " claimed_issuer, url, types, description, secret)"
        " values (%s, %s, '', 'user', %s, '', '', 'https://hooks.example.com/', '{}', '', '')",
        *(hook, f"owner:/user:{STRANGER}", STRANGER),
    )
    return {
        **target,
        "own": await world.add_media(own),
        "mine": mine,
        "album": album,
        "hook": hook,
    }


def reference(name: str, make: Any, place: Place = PROJECT, **request: Any) -> Row:
    async def target(world: World, place: Place) -> Target:
        return await with_own(world, place, make)

    return Row(name, request, target, place)


def in_batch(**fields: Any) -> Row:
    requests = [{"mediaId": "$own", **fields}]
    return reference("ProcessingService.BatchProcessMedia", media, requests=requests)


GRANTS: dict[str, dict[str, Any]] = {
    "AccessService.SetGrant": {"role": "VIEWER"},
    "AccessService.DeleteGrant": {},
}


def overlaid(name: str) -> list[dict[str, Any]]:
    return [{name: {"mediaId": "$media"}}]


PROCESS_SELECTED = "BatchService.BatchProcessSelectedMedia"
OVERLAYS = ("compose", "watermark")
COMPOSED = "resize:8x,compose:$media"
UPLOADS: dict[str, dict[str, Any]] = {
    "UploadService.CreateUpload": {},
    "UploadService.UploadMedia": {"body": {"contentType": "image/jpeg", "data": "$jpeg"}},
    "UploadService.WriteUpload": {"data": "$jpeg", "finish": True},
}
IN_PROJECT_OF_OTHERS = 'project_id="$project"'
IN_PROJECT = {"filename": "a.jpg", "projectId": "$project"}
FOR_ACME = {"filename": "a.jpg", "owner": ACME_OWNER}
REFERENCES: dict[str, list[Row]] = {
    "spec.project_id": [
        *(reference(name, project, spec=IN_PROJECT, **more) for name, more in UPLOADS.items())
    ],
    "spec.owner": [
        *(
            reference(name, project, ORGANIZATION, spec=FOR_ACME, **more)
            for name, more in UPLOADS.items()
        )
    ],
    "requests.spec.project_id": [
        reference("UploadService.BatchCreateUploads", project, requests=[{"spec": IN_PROJECT}])
    ],
    "requests.spec.owner": [
        reference(
            *("UploadService.BatchCreateUploads", project, ORGANIZATION),
            requests=[{"spec": FOR_ACME}],
        )
    ],
    "project_id": [
        reference("MediaService.ListMedia", listed, projectId="$project"),
        reference("MediaService.SearchMedia", listed, query="beach", projectId="$project"),
        reference("MediaService.CountFacets", listed, projectId="$project"),
        reference("ArchiveService.CreateArchive", listed, projectId="$project"),
        reference("EventService.WatchEvents", listed, projectId="$project"),
        reference("EventService.StreamEvents", listed, projectId="$project"),
        reference("UploadService.ListUploads", listed, projectId="$project"),
        reference("JobService.ListJobs", listed, projectId="$project"),
        reference("DuplicateService.ListDuplicates", listed, projectId="$project"),
        reference("AccessService.TransferMedia", project, mediaId="$own", projectId="$project"),
        reference("BatchService.BatchMoveMedia", project, mediaIds=["$own"], projectId="$project"),
        reference("MediaService.CopyMedia", project, mediaId="$own", projectId="$project"),
        reference(
            *("CollectionService.TransferCollection", project),
            collectionId="$album",
            projectId="$project",
        ),
        reference("MediaService.EmptyTrash", project, projectId="$project"),
        reference("CollectionService.CreateCollection", project, title="x", projectId="$project"),
        reference("CollectionService.ListCollections", project, projectId="$project"),
    ],
    "keep_media_id": [
        reference(
            *("DuplicateService.MergeMedia", media),
            mediaIds=["$own", "$media"],
            keepMediaId="$media",
        )
    ],
    "media_id": [
        reference("JobService.ListJobs", listed, mediaId="$media"),
        reference("PolicyService.BlockFile", media, resource="service:", mediaId="$media"),
    ],
    "event_id": [
        reference(
            *("WebhookService.RedeliverWebhookEvents", delivery),
            webhookId="$hook",
            eventId="$event",
        )
    ],
    "filter": [
        reference(
            *("CollectionService.CreateCollection", listed),
            title="x",
            filter=IN_PROJECT_OF_OTHERS,
        ),
        reference("MediaService.ListMedia", listed, filter=IN_PROJECT_OF_OTHERS),
        reference("MediaService.SearchMedia", listed, query="beach", filter=IN_PROJECT_OF_OTHERS),
        reference("MediaService.CountFacets", listed, filter=IN_PROJECT_OF_OTHERS),
        reference("ArchiveService.CreateArchive", listed, filter=IN_PROJECT_OF_OTHERS),
        *(
            reference(f"BatchService.{name}", listed, filter=IN_PROJECT_OF_OTHERS, **fields)
            for name, fields in OF_BATCHES.items()
            if name != "BatchGetMedia"
        ),
    ],
    "owner": [
        reference("MediaService.ListMedia", project, ORGANIZATION, owner=ACME_OWNER),
        reference("UploadService.ListUploads", project, ORGANIZATION, owner=ACME_OWNER),
        reference("JobService.ListJobs", project, ORGANIZATION, owner=ACME_OWNER),
        reference(
            *("AccessService.CreateProject", project, ORGANIZATION),
            displayName="x",
            owner=ACME_OWNER,
        ),
        reference(
            *("AccessService.TransferProject", project, ORGANIZATION),
            projectId="$mine",
            owner=ACME_OWNER,
        ),
        reference(
            *("AccessService.TransferMedia", project, ORGANIZATION),
            mediaId="$own",
            owner=ACME_OWNER,
        ),
        reference(
            *("BatchService.BatchMoveMedia", project, ORGANIZATION),
            mediaIds=["$own"],
            owner=ACME_OWNER,
        ),
        reference(
            *("MediaService.CopyMedia", project, ORGANIZATION), mediaId="$own", owner=ACME_OWNER
        ),
        reference(
            *("CollectionService.TransferCollection", project, ORGANIZATION),
            collectionId="$album",
            owner=ACME_OWNER,
        ),
        reference(
            *("CollectionService.CreateCollection", project, ORGANIZATION),
            title="x",
            owner=ACME_OWNER,
        ),
    ],
    "parent_id": [
        reference(
            "CollectionService.CreateCollection", collection, title="x", parentId="$collection"
        ),
        reference("CollectionService.ListCollections", collection, parentId="$collection"),
    ],
    "collection_id": [
        reference("ArchiveService.CreateArchive", collection, collectionId="$collection")
    ],
    "before_media_id": [
        reference(
            *("CollectionService.AddCollectionMedia", collection),
            collectionId="$album",
            mediaIds=["$own"],
            beforeMediaId="$media",
        )
    ],
    **{
        f"collection.{field}": [
            reference(
                *("CollectionService.UpdateCollection", make),
                collection={"collectionId": "$album", name: value},
            )
        ]
        for field, make, name, value in (
            ("parent_id", collection, "parentId", "$collection"),
            ("cover_media_id", collection, "coverMediaId", "$media"),
            ("filter", listed, "filter", IN_PROJECT_OF_OTHERS),
        )
    },
    "organization_id": [
        reference(
            "AccessService.ListProjects", project, ORGANIZATION, organizationId="$organization"
        )
    ],
    "grantee": [
        *(
            reference(
                *(name, make, ORGANIZATION),
                resource="media:$own",
                grantee=f"{kind}:${kind}",
                **more,
            )
            for kind, make in (("project", project), ("group", group), ("organization", group))
            for name, more in GRANTS.items()
        )
    ],
    "service_account_id": [
        reference(
            "CredentialsService.ListApiKeys", account, ORGANIZATION, serviceAccountId="$account"
        )
    ],
    "ops": [
        *(
            reference(name, media, mediaId="$own", ops=COMPOSED)
            for name in (
                *("DownloadService.RenderImage", "DownloadService.SignUrl"),
                "ProcessingService.ProcessMedia",
            )
        ),
        reference(PROCESS_SELECTED, media, mediaIds=["$own"], ops=COMPOSED),
    ],
    **{
        f"operations.{name}.media_id": [
            reference(
                *("ProcessingService.ProcessMedia", media),
                mediaId="$own",
                operations=overlaid(name),
            ),
            reference(PROCESS_SELECTED, media, mediaIds=["$own"], operations=overlaid(name)),
        ]
        for name in OVERLAYS
    },
    **{
        f"requests.operations.{name}.media_id": [in_batch(operations=overlaid(name))]
        for name in OVERLAYS
    },
    "policy.presets.ops": [
        reference(
            *("PolicyService.SetPolicy", media),
            resource="project:$mine",
            policy={"presets": [{"kind": "IMAGE", "name": "x", "ops": COMPOSED}]},
        )
    ],
    "target": [reference("ShareLinkService.ListShareLinks", project, target="project:$project")],
    "requests.ops": [in_batch(ops=COMPOSED)],
}


def names_of_others() -> Iterator[tuple[str, str]]:
    """The methods and their fields that name a thing which is not their resource."""
    for name, method in BY_NAME.items():
        for path in naming(method.input_type, ()):
            known = {*NO_NAMES, *IN_ROWS, f"{method.name}.{rule_of(method).resource}"}
            if f"{method.name}.{path}" not in known:
                yield name, path


def naming(message: Descriptor, before: tuple[str, ...]) -> Iterator[str]:
    for field in message.fields:
        if OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            continue
        path = (*before, field.name)
        if NO_NAMES & {field.name, f"{message.name}.{field.name}"}:
            continue
        if field.name.endswith("_id") or (field.name in NAMING and not is_step(field)):
            yield ".".join(path)
        elif (part := field.message_type) and part.full_name.startswith("mediaservice"):
            yield from naming(part, path)


def is_step(field: FieldDescriptor) -> bool:
    """Whether it is an operation of a pipeline, such as `filter`."""
    return field.containing_type is not None and field.containing_type.name == "Operation"
