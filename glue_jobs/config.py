"""config.json → JobConfig; every mistake named at once, with its path."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from connectors import registry
from connectors.base import OptionsModel, SyncOptions
from connectors.contract import layout
from connectors.contract.records import SCORE
from connectors.contract.storage import NotFoundError, Storage
from connectors.errors import UnknownConnectorError
from glue_jobs import item_filter
from glue_jobs.errors import ConfigError
from glue_jobs.holdout import Holdout
from glue_jobs.lines import misplaced

Merge = Literal["roundRobin", "concatenate", "score"]
Model = TypeVar("Model", bound=OptionsModel)
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_ -]*\]")
# Paths of texts in which it may be meant: constants, and values that a filter compares with.
_CONSTANT, _FILTER = re.compile(r"connectors\..+?\.otherAttributes\."), "recommendations.itemFilter"


class RelatedItems(OptionsModel):
    """How a user mapped to several items gets one list.

    Attributes:
        merge: ``roundRobin`` takes the best of each list in turn, ``concatenate`` one list after the other, ``score``
            the highest score first. An item's first occurrence wins.
        exclude_mapped_items: Leave out the items a user is mapped to.
    """

    merge: Merge = "roundRobin"
    exclude_mapped_items: bool = False


class Recommendations(OptionsModel):
    """What a user's list may hold.

    Attributes:
        max_items: Where a list is cut, after all rules that leave items out: it is filled from the next ranks. None
            cuts none.
        min_items: A shorter list is filled up from `fallback` to this length. One that stays shorter is an empty list:
            told to a user who was told something before, and to nobody else.
        min_score: Items with a lower score are left out; items without a score stay. Of an item in several of a
            user's lists the highest score counts.
        include_scores: Every item carries the recommender's `score`. Scores move a little every night, and so then
            does everyone.
        on_missing_metadata: An item without metadata keeps its rank with null fields (``keep``), or leaves the list to
            the next (``drop``). So does an item of which `itemFilter` can say neither yes nor no.
        item_filter: A predicate on item metadata, in SQL's words: only items for which it is true stay. For example
            ``current_stock > 0``.
        block_items: Ids of items that nobody gets.
        exclude_items: Pairs that are never recommended, such as purchases: a folder, or one .csv or .csv.gz file, with
            the header USER_ID,ITEM_ID in any order of columns. Relative to the job folder where that is local.
        fallback: Ids of items that fill up short lists, best first. Every rule for items holds for them too.
        holdout: A share of the users who get nothing and are marked, the same people in every run.
        related_items: How a user mapped to several items gets one list; for jobs of related items.
    """

    max_items: int | None = Field(default=25, ge=1)
    min_items: int | None = Field(default=None, ge=1)
    min_score: float | None = None
    include_scores: bool = False
    on_missing_metadata: Literal["keep", "drop"] = "keep"
    item_filter: str | None = None
    block_items: list[str] = Field(default_factory=list)
    exclude_items: str | None = Field(default=None, min_length=1)
    fallback: list[str] = Field(default_factory=list)
    holdout: Holdout | None = None
    related_items: RelatedItems = RelatedItems()

    @field_validator("item_filter")
    @classmethod
    def _check_filter(cls, text: str | None) -> str | None:
        if text is not None:
            item_filter.parse(text)
        return text

    @property
    def needs_scores(self) -> bool:
        """Whether anything asks for the recommender's scores."""
        return self.include_scores or self.min_score is not None or self.related_items.merge == "score"

    def clashes(self) -> Iterator[str]:
        """Rules that are right alone and wrong together."""
        if self.fallback and self.min_items is None:
            yield "recommendations.fallback fills lists up to minItems, which is not set; set it, or drop fallback"
        if self.min_items and self.max_items and self.min_items > self.max_items:
            yield f"recommendations.minItems is {self.min_items}, above maxItems, which is {self.max_items}"
        if both := sorted({*self.fallback} & {*self.block_items}):
            yield f"recommendations.fallback names {', '.join(map(repr, both))}, which blockItems takes out"


class Guards(OptionsModel):
    """Limits that hold a run back until someone approves it. None sets no limit.

    Attributes:
        max_cleared_pct: Holds a run that newly clears more than so much percent of the users the destination holds.
        max_cleared: Holds a run that newly clears more than so many users.
        min_affected_users: Fewer users than this never hold a run by a percentage.
        max_changed_pct: Holds a run that gives more than so much percent of today's users another list.
        max_bad_line_pct: Holds a run on input of whose lines more than so much percent cannot be read, of one kind.
        max_failed_line_pct: Holds a run on a batch of whose lines the recommender failed more than so much percent.
        min_metadata_coverage_pct: Holds a run of whose recommendations less than so much percent have metadata.
        max_below_min_items_pct: Holds a run in which more than so much percent of the users have fewer recommendations
            than `recommendations.minItems`.
        max_top_item_share_pct: Holds a run in which more than so much percent of the users have the most recommended
            item.
        max_input_age_hours: Holds a run on a batch whose newest file was written more than so many hours ago.
        allow_empty: Take a batch without a good line, or a mapping without a good row, at its word, where otherwise
            the run ends with 1.
    """

    max_cleared_pct: float | None = Field(default=15, ge=0, le=100)
    max_cleared: int | None = Field(default=None, ge=0)
    min_affected_users: int = Field(default=20, ge=0)
    max_changed_pct: float | None = Field(default=None, ge=0, le=100)
    max_bad_line_pct: float | None = Field(default=1, ge=0, le=100)
    max_failed_line_pct: float | None = Field(default=None, ge=0, le=100)
    min_metadata_coverage_pct: float | None = Field(default=None, ge=0, le=100)
    max_below_min_items_pct: float | None = Field(default=None, ge=0, le=100)
    max_top_item_share_pct: float | None = Field(default=None, ge=0, le=100)
    max_input_age_hours: float | None = Field(default=None, ge=0)
    allow_empty: bool = False


class ConfigFile(OptionsModel):
    """config.json but for the connectors' own settings.

    Attributes:
        schema_address: Names this schema, for editors. A run does not read it.
        version: The version of the file's form. A file without it is read as one of 2022: `payloadShape` is ``arrays``,
            and lists are not cut.
        batch_inference_path: The folder of one batch inference job, or of a solution: then its newest job with finished
            output. Relative to the job folder where that is local.
        perform_delta_check: False sends every user, changed or not. A connector may have its own.
        save_batch_inference_errors: Keep the lines that the recommender failed, under errors/.
        recommendations: What a user's list may hold.
        guards: Limits that hold a run back until someone approves it.
        connectors: The destinations, at least one, each with its settings by its name.
    """

    schema_address: str | None = Field(default=None, alias="$schema")
    version: Literal[1] | None = None
    batch_inference_path: str = Field(min_length=1)
    perform_delta_check: bool = True
    save_batch_inference_errors: bool = False
    recommendations: Recommendations = Recommendations()
    guards: Guards = Guards()
    connectors: dict[str, dict[str, Any]] = Field(min_length=1)

    def clashes(self) -> Iterator[str]:
        """Rules and guards that are right alone and wrong together."""
        yield from self.recommendations.clashes()
        if self.guards.max_below_min_items_pct is not None and self.recommendations.min_items is None:
            yield (
                "guards.maxBelowMinItemsPct counts lists shorter than recommendations.minItems, which is not set; "
                "set it, or drop maxBelowMinItemsPct"
            )


@dataclass(frozen=True)
class JobConfig:
    """The settings of a job, checked.

    Attributes:
        connectors: Name → the connector's own options.
        warnings: What a person should know, in sentences.
    """

    batch_inference_path: str
    perform_delta_check: bool
    save_batch_inference_errors: bool
    recommendations: Recommendations
    guards: Guards
    connectors: Mapping[str, SyncOptions]
    warnings: list[str] = field(default_factory=list)

    def checks_delta(self, connector: str) -> bool:
        """Whether unchanged users are left alone; a connector's own word overrides the root's."""
        own = self.connectors[connector].perform_delta_check
        return self.perform_delta_check if own is None else own


def load_config(storage: Storage) -> JobConfig:
    """The job folder's config.json.

    Raises:
        ConfigError: It is missing, broken or wrong; every mistake stands in the message.
    """
    try:
        data = storage.get(layout.CONFIG).data
    except NotFoundError as error:
        raise ConfigError(f"{storage.root}/{layout.CONFIG} is not there; put the job's settings in it") from error
    try:
        raw = json.loads(data)
        json.dumps(raw, ensure_ascii=False).encode()  # half a surrogate pair is no text
        found = list(_repeated_keys(json.loads(data, object_pairs_hook=tuple)))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{storage.root}/{layout.CONFIG} is not JSON: {error}") from error
    return parse_config(raw, [*found, *_misplaced(raw, storage.root)])


def parse_config(raw: Any, found: Iterable[str] = ()) -> JobConfig:
    """A config.json's content → JobConfig.

    Args:
        found: Mistakes that only its text or its place shows.

    Raises:
        ConfigError: One line a mistake: path, value, expectation.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{layout.CONFIG} should hold one JSON object, not {type(raw).__name__}")
    is_historic = "version" not in raw
    mistakes = [*found, *_unfilled(raw)]
    root = _validated(ConfigFile, _with_historic_root(raw) if is_historic else raw, "", mistakes)
    named = raw.get("connectors")
    options = {name: _connector(name, own, is_historic, mistakes) for name, own in _items(named)}
    if root is not None:
        known = {name: own for name, own in options.items() if own is not None}
        mistakes += [*root.clashes(), *_clashes(root.recommendations, known)]
    if mistakes or root is None:
        each = sorted(set(mistakes))
        raise ConfigError("\n".join([f"{layout.CONFIG} has {len(each)} mistake(s):", *each]), each)
    return JobConfig(
        root.batch_inference_path,
        root.perform_delta_check,
        root.save_batch_inference_errors,
        root.recommendations,
        root.guards,
        {name: _carrying(root.recommendations, own) for name, own in options.items() if own is not None},
        list(_warnings(raw, is_historic)),
    )


def _carrying(recommendations: Recommendations, own: SyncOptions) -> SyncOptions:
    """The options, with the score as the first field of every item where it is asked for."""
    if not recommendations.include_scores:
        return own
    return own.model_copy(update={"item_metadata_fields": [SCORE, *own.item_metadata_fields]})


def _clashes(recommendations: Recommendations, options: Mapping[str, SyncOptions]) -> Iterator[str]:
    """Settings of a connector that are right alone and wrong beside the rules."""
    for name, own in options.items():
        if recommendations.include_scores and SCORE in own.item_metadata_fields:
            yield f"connectors.{name}.itemMetadataFields names {SCORE!r}, which includeScores takes; drop one of them"
        mark = own.holdout_attribute()
        if recommendations.holdout and mark in own.attribute_names():
            yield f"connectors.{name} writes the attribute {mark!r}, which marks the holdout; choose another name"


def _connector(name: str, own: Any, is_historic: bool, mistakes: list[str]) -> SyncOptions | None:
    try:
        model = registry.connector_class(name).options_model
    except UnknownConnectorError as error:
        mistakes.append(f"connectors.{name}: {error}")
        return None
    if is_historic and isinstance(own, dict):
        own = {**model.historic_defaults, **own}
    return _validated(model, own, f"connectors.{name}", mistakes)


def _validated(model: type[Model], raw: Any, at: str, mistakes: list[str]) -> Model | None:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        mistakes += [_mistake(details, model, at) for details in error.errors()]
        return None


def _mistake(details: ErrorDetails, model: type[OptionsModel], at: str) -> str:
    """One line a person can act on: where, what stands there, what should."""
    *above, last = details["loc"] or ("",)
    path = ".".join(str(part) for part in (at, *above, last) if part != "")
    if details["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(last), _keys(model, above), 1)
        return f"{path}: unknown key" + (f"; did you mean {close[0]!r}?" if close else "")
    if details["type"] == "missing":
        return f"{path}: missing; it is required"
    return f"{path} is {json.dumps(details['input'], default=str)}: {details['msg']}"


def _keys(model: type[OptionsModel], above: Iterable[int | str]) -> list[str]:
    """The keys a model knows at a place below it."""
    for step in above:
        annotation = next((info.annotation for info in model.model_fields.values() if info.alias == step), None)
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        found = next((kind for kind in kinds if issubclass(kind, OptionsModel)), None)
        if found is None:
            return []
        model = found
    return [info.alias or name for name, info in model.model_fields.items()]


def _repeated_keys(value: Any, path: str = "") -> Iterator[str]:
    """Keys that stand more than once in an object: whoever reads JSON keeps the last and drops the others in silence.

    Args:
        value: A text of JSON as it stands, each object a tuple of its pairs.
    """
    pairs = value if isinstance(value, tuple) else enumerate(value) if isinstance(value, list) else ()
    below = [(f"{path}.{name}" if path else str(name), inner) for name, inner in pairs]
    for at, count in Counter(at for at, _ in below).items():
        if count > 1:
            yield f"{at}: stands {count} times, and only the last would count; keep one"
    for at, inner in below:
        yield from _repeated_keys(inner, at)


def _misplaced(raw: Any, root: str) -> Iterator[str]:
    """Folders that cannot be read from where the job folder lies.

    Args:
        root: Where that is.
    """
    settings = dict(_items(raw))
    lists = dict(_items(settings.get("recommendations")))
    named = {
        "batchInferencePath": settings.get("batchInferencePath"),
        "recommendations.excludeItems": lists.get("excludeItems"),
    }
    for setting, address in named.items():
        if isinstance(address, str) and (why := misplaced(address, root, setting)):
            yield why


def _unfilled(raw: dict[str, Any]) -> Iterator[str]:
    """Placeholders where none can be meant."""
    for at, text in _placeholders(raw):
        if at != _FILTER and not _CONSTANT.match(at):
            yield f"{at} is {text!r}: fill in the placeholder"


def _placeholders(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Values such as "s3://[BUCKET]/" that a template left to be filled in, each behind its path."""
    if isinstance(value, str) and _PLACEHOLDER.search(value):
        yield path, value
    for name, below in (
        _items(value) if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from _placeholders(below, f"{path}.{name}" if path else str(name))


def _with_historic_root(raw: dict[str, Any]) -> dict[str, Any]:
    """A file of 2022 never cut a list. Rules that are no object stay, to be named."""
    rules = raw.get("recommendations", {})
    return {**raw, "recommendations": {"maxItems": None, **rules}} if isinstance(rules, dict) else raw


def _warnings(raw: dict[str, Any], is_historic: bool) -> Iterator[str]:
    for at, text in _placeholders(raw):
        if _CONSTANT.match(at):
            yield f"{at} is {text!r}, which looks like a placeholder; it is sent as it stands"
    for name, own in _items(raw["connectors"]) if is_historic else ():
        for key, value in registry.connector_class(name).options_model.historic_defaults.items():
            if key not in own:
                yield (
                    f'connectors.{name}.{key} is {value!r} because the file has no "version"; lists with equal values '
                    'shift against each other on the profile: set "version": 1 to send objects, or name the shape'
                )


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()
