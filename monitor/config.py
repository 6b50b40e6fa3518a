"""The configuration: one YAML file, overridden by the environment, validated at start."""

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from monitor.phase_messages import PhaseName, ProtocolStep
from segmentation.nephrometry import USUAL, Anatomy

ENVIRONMENT_PREFIX = "ICEMARGIN__"


class ConfigError(ValueError):
    """The configuration can't be used; the message names each key and the mend."""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _loopback(host: str) -> str:
    if not _is_loopback(host):
        raise ValueError(
            "there is no sign-in yet, so the page is served on this machine only: use 127.0.0.1"
        )
    return host


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Distance = Annotated[float, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=0, le=65535)]
AeTitle = Annotated[str, Field(pattern=r"^[\x21-\x5b\x5d-\x7e][\x20-\x5b\x5d-\x7e]{0,15}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"not a network as in 192.0.2.0/24 or 192.0.2.17 ({error})") from error


def _fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if re.fullmatch("[0-9a-f]{64}", digits) is None:
        raise ValueError("not a SHA-256 fingerprint: 64 hexadecimal digits")
    return digits


Network = Annotated[str, AfterValidator(_network)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class Peer(_Section):
    """One caller that is let in, and within which bounds."""

    name: str = Field(min_length=1, max_length=64)
    ae_title: AeTitle
    networks: list[Network] = []
    tls_required: bool = False
    certificate_sha256: list[Fingerprint] = []
    services: list[Literal["store", "commitment", "mpps"]] = ["store", "commitment", "mpps"]
    maximum_associations: int = Field(4, ge=1, le=1000)
    maximum_object_mb: int | None = Field(None, ge=1)
    maximum_pdu_kb: int = Field(128, ge=4, le=1024)
    idle_s: float = Field(60.0, gt=0)
    rate_mb_s: float = Field(0.0, ge=0)
    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 104


class Node(_Section):
    """An archive that is called: results are sent to it, studies are fetched from it."""

    name: str = Field(min_length=1, max_length=64)
    ae_title: AeTitle
    host: str = Field(min_length=1)
    port: Annotated[int, Field(ge=1, le=65535)] = 104
    tls: bool = False
    certificate_sha256: list[Fingerprint] = []
    send: list[Literal["segmentation"]] = []


def _check_names(what: str, named: Sequence[Peer | Node]) -> None:
    names = [one.name for one in named]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two {what} are called {name!r}")


class DicomSection(_Section):
    """The DICOM listener."""

    ae_title: AeTitle = "ICEMARGIN"
    host: str = "127.0.0.1"
    port: Port = 11112
    allowed_calling_ae_titles: list[AeTitle] = []
    series_quiet_s: float = Field(3.0, gt=0, le=120)
    maximum_associations: int = Field(10, ge=1, le=1000)
    network_timeout_s: float = Field(20.0, gt=0)
    maximum_object_mb: int = Field(1024, ge=1)
    peers: list[Peer] = []

    @model_validator(mode="after")
    def _callers_are_known(self) -> Self:
        known = self.allowed_calling_ae_titles or self.peers
        if not known and not _is_loopback(self.host):
            raise ValueError(
                "who may send must be named in peers or allowed_calling_ae_titles when host is "
                "not an address of this machine alone"
            )
        return self

    @model_validator(mode="after")
    def _peers_have_names_of_their_own(self) -> Self:
        _check_names("peers", self.peers)
        return self


class TlsSection(_Section):
    """TLS: a second port of the listener, and our own calls to peers that want it."""

    port: Port = 2762
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    only: bool = False

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        files = (self.certificate, self.key, self.authorities)
        if any(files) and not all(files):
            raise ValueError("certificate, key and authorities are needed together")
        if self.only and not any(files):
            raise ValueError("only needs certificate, key and authorities")
        return self


class ArchiveSection(_Section):
    """Archives (PACS): where results go, and where planning studies are fetched from."""

    nodes: list[Node] = []
    retry_first_s: float = Field(5.0, gt=0)
    retry_longest_s: float = Field(300.0, gt=0)
    give_up_h: float = Field(72.0, gt=0)

    @model_validator(mode="after")
    def _nodes_have_names_of_their_own(self) -> Self:
        _check_names("nodes", self.nodes)
        return self


class WorklistSection(_Section):
    """Modality worklist: who is on the table today. Off while host is empty."""

    ae_title: AeTitle = "WORKLIST"
    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 104
    tls: bool = False
    certificate_sha256: list[Fingerprint] = []
    station_ae_title: str = Field("", max_length=16)
    every_s: float = Field(60.0, ge=1)


class WebSection(_Section):
    """Page and API."""

    host: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1"
    port: Port = 8080


class StorageSection(_Section):
    """Where everything lies."""

    directory: Path = Path("data")
    database_url: str = ""
    minimum_free_mb: int = Field(500, ge=0)
    replay_days: float = Field(14.0, ge=1, le=36500)

    @property
    def replayed_since(self) -> datetime:
        """From when on a start takes in again what has come."""
        return datetime.now(UTC) - timedelta(days=self.replay_days)


class AnalysisSection(_Section):
    """The processes that analyse."""

    workers: int = Field(1, ge=1, le=64)
    timeout_s: float = Field(10.0, gt=0)


def protocol_step(text: str) -> ProtocolStep:
    """A step of the protocol from its text, as in "freeze 10": minutes.

    Raises
    ------
    ValueError
        It is none.
    """
    found = re.fullmatch(r"(freeze|thaw) (\d{1,3}(?:\.\d+)?)", text)
    if found is None or not 0 < float(found[2]) <= LONGEST_STEP_MIN:
        raise ValueError(
            f"not a phase and its minutes, as in freeze 10 (at most {LONGEST_STEP_MIN:.0f})"
        )
    phase: Literal[PhaseName.FREEZE, PhaseName.THAW] = (
        PhaseName.FREEZE if found[1] == "freeze" else PhaseName.THAW
    )
    return ProtocolStep(phase=phase, planned_s=60 * float(found[2]))


def _protocol_text(text: str) -> str:
    protocol_step(text)
    return text


ProtocolText = Annotated[str, AfterValidator(_protocol_text)]
MAXIMUM_STEPS = 12
"""More freezes and thaws than anybody plans."""

LONGEST_STEP_MIN = 60.0
"""A longer one is a typing error: 10 to 15 min are usual (domain facts, 3)."""


class AlertsSection(_Section):
    """Site-set limits."""

    hilum_near_mm: float = Field(5.0, ge=0, le=100)
    margin_target_mm: float = Field(5.0, ge=0, le=100)
    scan_overdue_s: float = Field(240.0, gt=0)
    value_old_s: float = Field(240.0, gt=0)
    worsened_mm: float = Field(1.0, gt=0)


class StructuresSection(_Section):
    """Which contours are what."""

    tumour_pattern: Pattern = "(?i)tum(o|ou)r|gtv|mass|lesion"
    hilum_pattern: Pattern = "(?i)hil"
    warning_distances_mm: dict[Pattern, Distance] = {
        "(?i)bowel|colon|duoden|jejun|ileum": 10.0,
        "(?i)ureter|puj|upj": 10.0,
        "(?i)pelvis|cal(yx|yces|ices)|collecting": 4.0,
    }

    def warning_mm(self, name: str) -> float | None:
        """By a structure's name, how near ice may come before an alert; the first pattern holds."""
        for pattern, distance_mm in self.warning_distances_mm.items():
            if re.search(pattern, name):
                return distance_mm
        return None


class NephrometrySection(_Section):
    """What names of structures the nephrometry scores are computed from."""

    kidney_pattern: Pattern = USUAL.kidney
    sinus_pattern: Pattern = USUAL.sinus
    collecting_pattern: Pattern = USUAL.collecting
    ureter_pattern: Pattern = USUAL.ureter
    bowel_pattern: Pattern = USUAL.bowel
    vessel_pattern: Pattern = USUAL.vessels

    @property
    def anatomy(self) -> Anatomy:
        """For the analysis."""
        return Anatomy(
            kidney=self.kidney_pattern,
            sinus=self.sinus_pattern,
            collecting=self.collecting_pattern,
            ureter=self.ureter_pattern,
            bowel=self.bowel_pattern,
            vessels=self.vessel_pattern,
        )


class PluginsSection(_Section):
    """Programs of the site's own."""

    structures: str = Field("", max_length=200)
    timeout_s: float = Field(120.0, gt=0, le=3600)


class ProcedureSection(_Section):
    """The life of a procedure."""

    idle_close_s: float = Field(7200.0, gt=0)
    twin_rule: Literal["thin", "thick", "first"] = "thin"
    protocol: list[ProtocolText] = Field(
        ["freeze 10", "thaw 8", "freeze 10"], max_length=MAXIMUM_STEPS
    )
    clock_tolerance_s: float = Field(30.0, ge=5, le=600)

    @model_validator(mode="after")
    def _protocol_alternates(self) -> Self:
        expected = [PhaseName.FREEZE, PhaseName.THAW] * MAXIMUM_STEPS
        if any(step.phase is not one for step, one in zip(self.steps, expected, strict=False)):
            raise ValueError("protocol: freeze comes first, and freeze and thaw take turns")
        return self

    @property
    def steps(self) -> list[ProtocolStep]:
        """The protocol."""
        return [protocol_step(text) for text in self.protocol]


class Settings(BaseSettings):
    """All sections; see ``config.yaml`` for what each key means."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    dicom: DicomSection = DicomSection()
    tls: TlsSection = TlsSection()
    archive: ArchiveSection = ArchiveSection()
    worklist: WorklistSection = WorklistSection()
    web: WebSection = WebSection()
    storage: StorageSection = StorageSection()
    analysis: AnalysisSection = AnalysisSection()
    alerts: AlertsSection = AlertsSection()
    structures: StructuresSection = StructuresSection()
    nephrometry: NephrometrySection = NephrometrySection()
    procedure: ProcedureSection = ProcedureSection()
    plugins: PluginsSection = PluginsSection()

    @model_validator(mode="after")
    def _tls_has_its_files(self) -> Self:
        calls: list[Node | WorklistSection] = [*self.archive.nodes, self.worklist]
        if any(call.tls for call in calls) and self.tls.certificate is None:
            raise ValueError(
                "calls by TLS (archive.nodes, worklist) need tls.certificate, tls.key and "
                "tls.authorities"
            )
        return self

    @property
    def database_url(self) -> str:
        """The journal's SQLAlchemy URL."""
        if self.storage.database_url:
            return self.storage.database_url
        return f"sqlite:///{self.storage.directory / 'journal.sqlite'}"


def load(path: Path | None = None) -> Settings:
    """Settings from the environment, over those of the file, over the defaults.

    Raises
    ------
    ConfigError
        The file is absent or no YAML mapping, or a key is unknown or wrong.
    """
    name = str(path) if path is not None else "environment"
    if path is not None:
        _check_file(path)
    _check_environment()

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the library's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the same
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if path is None:
                return init_settings, env_settings
            return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, path)

    try:
        return Settings(**FromFile().model_dump())  # of a class that another process knows
    except ValidationError as error:
        lines = [f"{_origin(item['loc']) or name}: {_mend(item)}" for item in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _check_file(path: Path) -> None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML ({error}).") from error
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold keys and values, as the config.yaml we ship.")


def _check_environment() -> None:
    """The library passes over what it does not know; a typing error there must not go unseen."""
    for variable in os.environ:
        if not variable.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        section, *keys = variable[len(ENVIRONMENT_PREFIX) :].lower().split("__")
        if section not in Settings.model_fields:
            place = ".".join([section, *keys])
            raise ConfigError(
                f"{variable}: {place}: there is no such key; {_suggestion((section,))}"
            )
        if _is_list_or_section(section, *keys) and not _is_json(os.environ[variable]):
            place = ".".join([section, *keys])
            raise ConfigError(f'{variable}: {place}: must be JSON, as in ["CT1", "CT2"].')


def _is_list_or_section(section: str, *keys: str) -> bool:
    annotation = Settings.model_fields[section].annotation
    if not keys:
        return True
    field = getattr(annotation, "model_fields", {}).get(keys[0])
    return len(keys) == 1 and field is not None and get_origin(field.annotation) in {list, dict}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _origin(location: tuple[Any, ...]) -> str:
    """The variable that a key's value, or a part of it, came from; empty when it was none."""
    for length in range(len(location), 0, -1):
        wanted = (ENVIRONMENT_PREFIX + "__".join(map(str, location[:length]))).upper()
        for variable in os.environ:
            beyond = length > 1 and variable.upper().startswith(f"{wanted}__")
            if variable.upper() == wanted or beyond:
                return variable
    return ""


def _mend(item: Any) -> str:
    """One sentence: the key's path, what is wrong, what to do."""
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{place}: there is no such key; {_suggestion(item['loc'])}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if not place:  # about several sections
        return f"{message}."
    if isinstance(item["input"], dict | _Section):  # a whole section: its message says which keys
        return f"{place}: {message}."
    return f"{place}: {message} (it is {item['input']!r})."


def _suggestion(location: tuple[Any, ...]) -> str:
    fields: dict[str, Any] = dict(Settings.model_fields)
    for part in location[:-1]:
        section: Any = fields[part].annotation if part in fields else None
        fields = dict(getattr(section, "model_fields", {}))
    wrong = str(location[-1])
    near = difflib.get_close_matches(wrong, fields, n=1)
    prefix = "".join(f"{part}." for part in location[:-1])
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return f"remove it; the keys here are {', '.join(sorted(fields))}."
