"""Where an S3 store is, and what its objects are to be, in one URL.

s3://bucket/prefix?endpoint=https://s3.example&region=eu-central-1&path_style=true
                  &encryption=aws:kms&kms_key=…&storage_class=STANDARD_IA
"""

from dataclasses import dataclass, fields
from typing import Any

from media_service.storage.bucket_url import bucket_url

ENCRYPTIONS = ("AES256", "aws:kms")
BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class S3Location:
    """`prefix` ends with a slash or is empty; an empty `endpoint` is AWS itself."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    encryption: str = ""
    kms_key: str = ""
    storage_class: str = ""

    @property
    def site(self) -> tuple[str, str]:
        """Within one, a store copies by itself."""
        return self.endpoint, self.region


OPTIONS = tuple(spec.name for spec in fields(S3Location))[2:]


def s3_location(url: str) -> S3Location:
    """Reads a URL. Raises ValueError, which says what is allowed."""
    bucket, prefix, given = bucket_url(url, OPTIONS)
    options: dict[str, Any] = dict(given)
    if "path_style" in options:
        if options["path_style"] not in BOOLEANS:
            raise ValueError("an s3:// URL whose path_style is true or false")
        options["path_style"] = BOOLEANS[options["path_style"]]
    if options.get("encryption", "AES256") not in ENCRYPTIONS:
        raise ValueError(f"an s3:// URL whose encryption is {' or '.join(ENCRYPTIONS)}")
    if "kms_key" in options and options.get("encryption") != "aws:kms":
        raise ValueError("an s3:// URL that has a kms_key only with encryption=aws:kms")
    return S3Location(bucket, prefix, **options)
