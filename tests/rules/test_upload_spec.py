"""What callers state about a file when they upload it, they may state in the same form later."""

from mediaservice.v1.media_pb2 import Media
from mediaservice.v1.upload_pb2 import UploadSpec

from media_service.contract import field_rules
from media_service.media.service import CHANGEABLE


def test_the_fields_of_an_upload_have_the_rules_of_the_media() -> None:
    for name in CHANGEABLE:
        stated = UploadSpec.DESCRIPTOR.fields_by_name[name]
        changed = Media.DESCRIPTOR.fields_by_name[name]
        assert field_rules(stated) == field_rules(changed), name
        assert (stated.type, stated.message_type) == (changed.type, changed.message_type) or (
            name == "labels"  # each map has an entry type of its own
        )
