"""Settings: defaults, overlaid by `SB_API_*` from the environment, strictly checked, frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from sb_api.database_urls import DATABASES, parse_database_url
from sb_api.errors import InvalidSettings, explain, nearest

PREFIX = "SB_API_"
MOST_PROCESSES = 8  # of a kind, unless a setting says otherwise; each takes memory
CLIENT_NAMES = frozenset({"SB_API_URL", "SB_API_TOKEN", "SB_API_TOKEN_FILE"})  # of the commands that ask a service


def _integer(description: str, least: int, most: int | None = None) -> Meta:
    return Meta(ge=least, le=most, description=description)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of every process. Times are in seconds."""

    host: Annotated[str, Meta(description="address to listen on; without credentials only a loopback address")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _integer("port to listen on", 0, 65535)] = 4321
    redis_url: Annotated[
        str,
        Meta(
            description="Redis to use: `redis://`, `rediss://` (TLS), `unix://` or "
            "`redis+sentinel://host:port,host:port/service`; empty: `run` starts one of its own"
        ),
    ] = ""
    state_dir: Annotated[str, Meta(description="where weights, queue and other state are kept; empty: see below")] = ""
    credentials: Annotated[
        str, Meta(description="file of credentials; empty: `credentials.json` in the state directory, if it is there")
    ] = ""
    session_ttl: Annotated[int, _integer("how long one stays signed in on the web page", 60)] = 43_200
    proxies: Annotated[
        int, _integer("reverse proxies in front, whose X-Forwarded-For, -Proto and -Host headers are believed", 0, 8)
    ] = 0
    proxy_addresses: Annotated[
        str, Meta(description="addresses or networks of these proxies, with commas; nobody else's headers are believed")
    ] = "127.0.0.1,::1"
    local_users: Annotated[
        Literal["own", "all"],
        Meta(
            description="without credentials, who on this machine may do everything: the service's own user, or "
            "`all`, which is whoever a proxy lets in, too"
        ),
    ] = "own"
    open_metrics: Annotated[
        Literal["on", "off"], Meta(description="whoever reaches the service may read `/metrics`, without a credential")
    ] = "off"
    web_processes: Annotated[int, _integer("web processes; 0: one per core, 8 at most", 0, 64)] = 0
    classify_processes: Annotated[int, _integer("classify processes; 0: one per core, 8 at most", 0, 256)] = 0
    restart_limit: Annotated[
        int,
        _integer(
            "`run` ends when a process dies so often in a row, less than 30 s after each start; not for the train "
            "process, which is started again each minute from then on",
            1,
        ),
    ] = 10
    max_records: Annotated[int, _integer("records in one request", 1)] = 10_000
    max_body_bytes: Annotated[int, _integer("bytes in one request", 1024)] = 32 * 2**20
    slice_records: Annotated[int, _integer("a request with more records is queued in slices of so many", 1, 10_000)] = (
        128
    )
    batch_requests: Annotated[int, _integer("requests that a classify process takes at once", 1, 10_000)] = 256
    queue_limit: Annotated[int, _integer("entries that may wait per stream; more are refused", 1)] = 5_000
    longest_wait: Annotated[
        float, Meta(gt=0, le=86_400, description="a small request that would wait for longer is refused")
    ] = 0.03
    predict_timeout: Annotated[float, Meta(gt=0, le=86_400, description="longest wait for a prediction")] = 30.0
    train_timeout: Annotated[float, Meta(gt=0, le=86_400, description="longest wait for a training")] = 300.0
    result_ttl: Annotated[int, _integer("how long the result of an asynchronous job is kept", 1)] = 3600
    lease: Annotated[
        float, Meta(ge=0.5, le=3_600, description="a claim not renewed for so long passes to another process")
    ] = 5.0
    max_deliveries: Annotated[int, _integer("an entry that has killed so many processes is set aside", 1)] = 3
    engine: Annotated[
        Literal["onnx", "keras"], Meta(description="what predicts: ONNX Runtime, or Keras on TensorFlow")
    ] = "onnx"
    unpublished_weights: Annotated[
        Literal["on", "off"],
        Meta(
            description="while no train process has published weights, a classify process judges by those of its own "
            "files, which may not be the latest; else it waits. In `run`, where all have the same files, it is on"
        ),
    ] = "off"
    trainer_idle: Annotated[
        float,
        Meta(
            ge=0,
            le=31_536_000,
            description="without a training for so long, TensorFlow is let go; 0: it is loaded for each training alone",
        ),
    ] = 300.0
    helper_idle: Annotated[
        float,
        Meta(
            gt=0, le=31_536_000, description="without a large request for so long, a second worker lets its memory go"
        ),
    ] = 300.0
    versions_kept: Annotated[int, _integer("versions of weights kept", 2)] = 10
    shadow_share: Annotated[
        float,
        Meta(ge=0, le=1, description="share of live requests that staged weights judge too, in shadow"),
    ] = 0.1
    verdict_log: Annotated[str, Meta(description="database URL of the verdict log; empty: SQLite; `off`: none")] = ""
    messages_url: Annotated[str, Meta(description="database URL of labelled messages; empty: SQLite")] = ""
    editors_url: Annotated[
        str,
        Meta(
            description="database URL of MusicBrainz's editors (PostgreSQL), where moderators look accounts up by "
            "number or name; it is only read; empty: they cannot"
        ),
    ] = ""
    review: Annotated[
        Literal["off", "on"],
        Meta(
            description="accounts that were judged wait for moderators, who claim them and give verdicts; on every "
            "host. Their details are kept for that, encrypted, in Redis"
        ),
    ] = "off"
    review_band: Annotated[
        Literal["certain spam", "likely spam", "unsure", "likely fine"],
        Meta(description="lowest band of the accounts that wait for review"),
    ] = "unsure"
    review_share: Annotated[
        float, Meta(ge=0, le=1, description="share of the accounts of these bands that wait; 0: only what is added")
    ] = 1.0
    review_keep: Annotated[int, _integer("how long an account waits before it is deleted", 60, 31_536_000)] = 604_800
    review_most: Annotated[int, _integer("accounts that may wait; the oldest are dropped", 1, 50_000)] = 5_000
    review_lease: Annotated[
        float, Meta(ge=1, le=86_400, description="how long a moderator has what was claimed, unless it is released")
    ] = 600.0
    review_key: Annotated[
        str,
        Meta(
            description="file of the key of the review queue, the same on every host; empty: `review.key` in the state "
            "directory, made where it is missing"
        ),
    ] = ""
    webhooks: Annotated[
        str,
        Meta(
            description="URLs, with blanks between, that are told of events, and after # of which topics: "
            "`https://ops.example.org/hook#drift,service`; without, of all; on every host"
        ),
    ] = ""
    webhook_secret: Annotated[
        str,
        Meta(
            description="file of the secrets that sign webhooks, one a line; empty: `webhooks.secret` in the state "
            "directory; the first is made"
        ),
    ] = ""
    webhook_http: Annotated[
        Literal["off", "on"], Meta(description="webhooks may go over plain http:// to other machines, too")
    ] = "off"
    webhook_band: Annotated[
        Literal["certain spam", "likely spam", "unsure", "likely fine"],
        Meta(description="lowest band of the accounts that webhooks tell of"),
    ] = "certain spam"
    webhook_not_ready: Annotated[
        float, Meta(ge=1, le=86_400, description="webhooks tell when the service has not been ready for so long")
    ] = 60.0
    webhook_keep: Annotated[int, _integer("a webhook that is not taken is sent again for so long", 60, 2_592_000)] = (
        259_200
    )
    mlflow_url: Annotated[
        str,
        Meta(
            description="MLflow server that is told of each bootstrap, training, evaluation, rollback and replay: "
            "`https://user:password@host`; empty: none"
        ),
    ] = ""
    encoder: Annotated[
        str,
        Meta(
            description="directory of the sentence encoder of messages (`tokenizer.json`, `config.json`, "
            "`model.safetensors`); empty: the installed one"
        ),
    ] = ""
    neighbours: Annotated[
        int,
        _integer(
            "learned messages whose texts are kept, to show the role `train` what is like a text; 0: none", 0, 50_000
        ),
    ] = 0
    replay_rows: Annotated[int, _integer("known records that stand beside each verdict of a training", 0)] = 128
    replay_records: Annotated[int, _integer("learned verdicts of each label that a training may draw on", 0)] = 2_000
    guard_tolerance: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="how far a training may lower the figures on the reference set; the recall of innocent "
            "accounts by a quarter of that",
        ),
    ] = 0.01
    fp_budget: Annotated[
        float, Meta(gt=0, lt=1, description="share of innocent editors that may be called certain spam")
    ] = 0.0025
    auto_rollback: Annotated[
        Literal["on", "off"], Meta(description="roll back to the last sound weights when errors rise")
    ] = "off"
    two_reporters: Annotated[
        Literal["on", "off"], Meta(description="verdicts against a certain score wait for a second reporter")
    ] = "off"
    log_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="of the known records beside each verdict, at most such a share are learned verdicts; it grows "
            "with their number",
        ),
    ] = 0.75
    calibration_verdicts: Annotated[
        int,
        _integer("latest verdicts, as judged before they were learned, by which scores are calibrated too; 0: none", 0),
    ] = 1_000
    retry_kept: Annotated[
        float,
        Meta(ge=0, le=31_536_000, description="after so long, kept verdicts are tried again by themselves; 0: never"),
    ] = 3600.0
    reporter_training_cap: Annotated[int, _integer("verdicts of one reporter learned in one training", 1)] = 1_000
    reporter_day_cap: Annotated[int, _integer("verdicts of one reporter learned in 24 hours", 1)] = 5_000
    refusals_in_a_row: Annotated[
        int,
        _integer(
            "trainings of one credential, each with something new, that the guard refuses in a row before the "
            "credential is set aside; 0: never",
            0,
        ),
    ] = 5
    kept_cap: Annotated[
        int,
        _integer(
            "verdicts of one credential, or of one reporter without credentials, that wait to be learned or were sent "
            "within 24 hours and not learned; more are refused",
            1,
        ),
    ] = 20_000
    redis_memory: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]*[kmg]b\Z", description="memory limit of the embedded Redis")
    ] = "1gb"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least level that is logged")
    ] = "INFO"
    log_format: Annotated[Literal["text", "json"], Meta(description="log lines for people, or a JSON object each")] = (
        "text"
    )
    access_log: Annotated[float, Meta(ge=0, le=1, description="share of requests that are logged; 1: every one")] = 0.0

    @property
    def static(self) -> Path:
        """The shipped files: inside the package once installed, beside it in a checkout."""
        package = Path(__file__).parent
        return package / "static" if (package / "static").is_dir() else package.parent / "static"

    @property
    def state(self) -> Path:
        """Where state is kept: `state_dir`; else a checkout's `static/`, or the user's state folder once installed."""
        if self.state_dir:
            return _expand(self.state_dir, "STATE_DIR")
        if self.static.parent != Path(__file__).parent:
            return self.static
        return _expand(os.environ.get("XDG_STATE_HOME") or "~/.local/state", "STATE_DIR") / "sb_api"

    def find(self, name: str) -> Path:
        """A file of the state directory, or the shipped one of the same name."""
        kept = self.state / name
        return kept if kept.exists() else self.static / name

    @property
    def credentials_file(self) -> Path:
        return _expand(self.credentials, "CREDENTIALS") if self.credentials else self.state / "credentials.json"

    @property
    def review_key_file(self) -> Path:
        return _expand(self.review_key, "REVIEW_KEY") if self.review_key else self.state / "review.key"

    @property
    def webhook_secret_file(self) -> Path:
        return _expand(self.webhook_secret, "WEBHOOK_SECRET") if self.webhook_secret else self.state / "webhooks.secret"

    @property
    def redis_socket(self) -> Path:
        """The socket of the embedded Redis."""
        return self.state / "redis" / "redis.sock"

    @property
    def redis_address(self) -> str:
        return self.redis_url or f"unix://{quote(str(self.redis_socket))}"

    @property
    def web_count(self) -> int:
        return self.web_processes or _cores()

    @property
    def classify_count(self) -> int:
        return self.classify_processes or _cores()


def _expand(path: str, setting: str) -> Path:
    """A path as it stands in a setting. Raises InvalidSettings when `~` is nowhere: in a container, say, whose user is
    none of its users."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise InvalidSettings(
            f"This user has no home directory, so {path} is nowhere: set {PREFIX}{setting} to a path from / on."
        ) from None


def _cores() -> int:
    return min(os.cpu_count() or 1, MOST_PROCESSES)


def load_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings from `environment` (that of this process by default), then `overrides` that are not None.

    Raises InvalidSettings for a name that is no setting, or a value that does not fit.
    """
    environment = os.environ if environment is None else environment
    known = {f"{PREFIX}{field.upper()}": field for field in Settings.__struct_fields__}
    # Names of the test and bench tools, not of the service.
    given = {name for name in environment if name.startswith(PREFIX) and not name.startswith(f"{PREFIX}BENCH_")}
    given -= CLIENT_NAMES
    if unknown := sorted(given - known.keys()):
        meant = [found for name in unknown if (found := nearest(name, known.keys() | CLIENT_NAMES))]
        raise InvalidSettings(
            f"{', '.join(unknown)}: no such setting; there are {', '.join(sorted(known))}."
            + (f" Did you mean {', '.join(meant)}?" if meant else "")
        )
    values: dict[str, Any] = {known[name]: environment[name] for name in given}
    values |= {name: value for name, value in overrides.items() if value is not None}
    if "webhooks" in values:
        values["webhooks"] = values["webhooks"].strip()  # blanks name nobody, and whether any is named is asked often
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettings(f"A setting is wrong: {explain(error, Settings)}.") from None
    for name, url in (("VERDICT_LOG", settings.verdict_log), ("MESSAGES_URL", settings.messages_url)):
        if url and url != "off":
            parse_database_url(url, f"{PREFIX}{name}")
    if settings.mlflow_url and not settings.mlflow_url.startswith(("http://", "https://")):
        raise InvalidSettings(f"{PREFIX}MLFLOW_URL must begin with http:// or https://.")
    if settings.editors_url:
        name = f"{PREFIX}EDITORS_URL"
        if parse_database_url(settings.editors_url, name).dialect != DATABASES["postgresql"]:
            raise InvalidSettings(f"{name} must name a PostgreSQL database: postgresql://...")
    return settings


def describe_settings() -> list[tuple[str, str, str]]:
    """One row per setting for the documentation: environment variable, default, description."""
    schema: dict[str, Any] = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    return [
        (f"{PREFIX}{field.upper()}", str(getattr(Settings(), field)), str(schema[field]["description"]))
        for field in Settings.__struct_fields__
    ]
