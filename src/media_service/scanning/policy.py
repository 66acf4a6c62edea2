"""What the settings say about virus scans."""

from dataclasses import dataclass

from media_service.config import ALLOW, OFF, OPEN, REQUIRED, Config
from media_service.media.model import NOT_SCANNED, Scan, ScanState


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """`required`: nothing is served that has not been scanned; otherwise, scans only report.
    `allow_too_large`: a file is served although it is too large to scan. `fail_open`: a file is
    served although its scan has failed."""

    enabled: bool
    required: bool
    allow_too_large: bool = False
    fail_open: bool = False

    @property
    def new_scan(self) -> Scan:
        """The scan of a new media."""
        return Scan(ScanState.PENDING, held=self.required) if self.enabled else NOT_SCANNED

    def holds(self, state: ScanState) -> bool:
        """Whether a version whose scan is in this state is not served. What was stored before scans
        were required is served until its first scan."""
        if not self.required:
            return False
        served = {
            ScanState.NOT_SCANNED: True,
            ScanState.CLEAN: True,
            ScanState.TOO_LARGE: self.allow_too_large,
            ScanState.FAILED: self.fail_open,
        }
        return not served.get(state, False)

    def holds_after(self, before: Scan, state: ScanState) -> bool:
        """Like `holds`, for the result of a scan. If scans are not required here, the process that
        held the version has another policy, and only what is clean is released."""
        others = before.held and not self.required and state is not ScanState.CLEAN
        return self.holds(state) or others

    def leaves(self, scan: Scan) -> bool:
        """Whether the policy leaves this scan as it is. An infected file stays in quarantine, even
        if an earlier policy has put it there. If scans are off, none is waited for."""
        if scan.state is ScanState.PENDING and not self.enabled:
            return False
        return scan.held == self.holds(scan.state) or (
            scan.held and scan.state is ScanState.INFECTED
        )


def policy_from(config: Config) -> ScanPolicy:
    return ScanPolicy(
        enabled=config.scan != OFF,
        required=config.scan == REQUIRED,
        allow_too_large=config.scan_too_large == ALLOW,
        fail_open=config.scan_failure == OPEN,
    )
