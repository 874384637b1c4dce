"""The run: one fully resolved training, one configuration and one seed, as frozen torch-free data.

The names of tables and fields become the columns of the result tables. A setting added later, of a table or of a
function, declares `HashNeutral`, or every stored run would lose its identity.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property, reduce
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import AfterValidator, PlainValidator, SerializeAsAny, ValidationError

from petlsparse.recipe.fields import FUNCTIONS, Colour, Name, OneOf
from petlsparse.recipe.identity import canonical_json, run_id, run_ids
from petlsparse.recipe.methods import AdapterMethodSettings, SparseMethodSettings
from petlsparse.recipe.nesting import flatten, nest
from petlsparse.recipe.optimization import ConstantSettings, OptimizerSettings, ScheduleSettings, TrainingSettings
from petlsparse.settings import (
    Choice,
    Count,
    Fractions,
    HashNeutral,
    Index,
    Pixels,
    PositiveFractions,
    ProperFraction,
    SettingsTable,
    common_type,
    plain_type,
)


class Data(SettingsTable):
    """What is trained on."""

    name: Annotated[str, AfterValidator(Name("data set"))]
    """The data set; a path follows those that end in `:` (docs/data.md), `FILE.py:FUNCTION` makes one of yours."""
    image_size: Pixels | None = None
    """Side that images are resized to; their own unless given. adapter-search: the backbone's, see `backbone`."""
    train_examples: Count | None = None
    """Train on a class-balanced part of so many images, the same for all seeds; on all unless given."""
    augment: Annotated[str, AfterValidator(Name("augmentation"))] = "none"
    """How training images are varied, anew in every epoch."""
    train_on: Literal["train", "train+val"] = "train"
    """The part trained on; `train+val` leaves no validation, so that the last weights are tested."""
    image_fit: Literal["resize", "crop"] = "resize"
    """How images in files become squares: both sides resized, or the middle cut out, its shape kept."""
    background: Colour = "white"
    """What transparent pixels of images in files are laid over."""
    val_fraction: ProperFraction = 0.1
    """Validation part of data on disk without one: of all but the test part, in proportion to the classes."""
    test_fraction: ProperFraction = 0.2
    """Test part of data on disk without one: of everything, in proportion to the classes."""
    image_column: Annotated[str | None, HashNeutral(None)] = None
    """The images of a table (`parquet:`, `arrow:`); the only column of encoded images unless given."""
    label_column: Annotated[str | None, HashNeutral(None)] = None
    """The labels of a table; the column `label`, or the only one of whole numbers or text, unless given."""


class Backbone(SettingsTable):
    """The frozen pre-trained transformer."""

    name: str = "vit-micro"
    """`vit-micro` (bundled), one of `petlsparse weights ls`, `local-dir:PATH`, or a timm ViT, by the hub's weights."""
    pretrained: bool = True
    """False: random weights drawn from the run's seed, as a control."""
    image_size: Pixels | None = None
    """Side of the images; what the backbone was trained with unless given."""
    frozen_precision: Literal["float32", "bf16"] = "float32"
    """What its values are rounded to where the trained part takes over."""
    mean: Annotated[Fractions | None, HashNeutral(None)] = None
    """Of each channel, subtracted from pixels in 0..1; the checkpoint's own unless given."""
    std: Annotated[PositiveFractions | None, HashNeutral(None)] = None
    """Of each channel, what pixels are then divided by; the checkpoint's own unless given."""


class _Run(SettingsTable):
    """What every run can tell about itself."""

    @cached_property
    def run_id(self) -> str:
        """12 hex that name this run in a store."""
        return run_id(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Another run, with changes that are not validated, and with an id of its own."""
        copy = super().model_copy(update=update, deep=deep)
        for name in ("run_id", "configuration"):
            copy.__dict__.pop(name, None)
        return copy

    def with_seeds(self, seeds: Sequence[int]) -> Iterator[Self]:
        """The run with each of these seeds, its other tables shared."""
        for seed, name in zip(seeds, run_ids(self, seeds), strict=True):
            run = self.__copy__()  # model_copy takes twice as long
            # Not `|=`, which assigns an attribute: pydantic takes longer over that than over all the rest.
            run.__dict__.update(seed=seed, run_id=name, configuration=self.configuration)
            yield run

    @cached_property
    def configuration(self) -> object:
        """What the runs share that `with_seeds` made of one, and no others."""
        return object()

    def settings(self) -> dict[str, Any]:
        """All settings, nested, as JSON values; `parse_run` reads them back."""
        return self.model_dump(mode="json")

    def flat(self) -> dict[str, Any]:
        """All settings as table columns such as `method_density`; durations and tuples as strings."""
        columns = setting_columns(self.settings())
        return {key: canonical_json(value) if isinstance(value, list) else value for key, value in columns.items()}


class SparseRun(_Run):
    """A network trained from scratch: dense, static sparse or dynamically sparse."""

    study: Literal["dst-sweep"] = "dst-sweep"
    data: Data
    network: Annotated[SerializeAsAny[Choice], PlainValidator(OneOf("network"))]
    method: SparseMethodSettings
    optimizer: OptimizerSettings
    schedule: ScheduleSettings = ConstantSettings()
    training: TrainingSettings
    seed: Index


class AdapterRun(_Run):
    """A pre-trained transformer adapted to a task."""

    study: Literal["adapter-search"] = "adapter-search"
    data: Data
    backbone: Backbone = Backbone()
    method: AdapterMethodSettings
    optimizer: OptimizerSettings
    schedule: ScheduleSettings = ConstantSettings()
    training: TrainingSettings
    seed: Index


Run: TypeAlias = SparseRun | AdapterRun

RUN_TYPES: Mapping[str, type[SparseRun] | type[AdapterRun]] = MappingProxyType(
    {"dst-sweep": SparseRun, "adapter-search": AdapterRun}
)

TAGS: Mapping[str, str] = MappingProxyType(
    {
        "network": "name",
        "method": "kind",
        "method.criterion": "name",
        "method.growth": "name",
        "method.placement": "name",
        "method.score": "name",
        "optimizer": "name",
        "schedule": "name",
    }
)
"""The tables that come in several kinds, with the key that says which.

One inside another is written as its name alone where it needs nothing else, `criterion = "snip"`; the dotted key of
that name, and its column, is that of the table.
"""

_FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "network": "network",
        "method.criterion": "criterion",
        "method.growth": "growth rule",
        "method.placement": "placement",
        "method.score": "score",
    }
)
"""The tables whose kinds are functions: what these are, as a key of `fields.FUNCTIONS`."""

_INNER = tuple(table for table in TAGS if "." in table)


def tag_key(table: str) -> str:
    """The dotted key that says which kind a table of several kinds is."""
    return table if table in _INNER else f"{table}.{TAGS[table]}"


def table_and_field(key: str) -> tuple[str, str]:
    """The table that a dotted key belongs to, and what it is there: "method.criterion" is a field of "method"."""
    table = next((f"{inner}." for inner in _INNER if key.startswith(f"{inner}.")), f"{key.partition('.')[0]}.")
    return table.removesuffix("."), key.removeprefix(table) if key.startswith(table) else ""


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted key."""
    return {shown_key(key): value for key, value in flatten(settings).items()}


def setting_columns(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by the columns of the tables."""
    return {key.replace(".", "_"): value for key, value in flat(settings).items()}


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key as nested tables."""
    return nest({nested_key(key) if not isinstance(value, dict) else key: value for key, value in settings.items()})


def shown_key(key: str) -> str:
    """A dotted key as it is shown: without the "name" of a table inside another."""
    inner = key.removesuffix(".name")
    return inner if inner in _INNER else key


def canonical_key(key: str, value: Any) -> str:
    """A dotted key as `flat` has it.

    A name alone, or a list of such, says which kind its table is: `network = "mlp"`.
    """
    names = value if isinstance(value, list) else [value]
    alone = TAGS.get(key) == "name" and all(isinstance(name, str) for name in names)
    return tag_key(key) if alone else shown_key(key)


def nested_key(key: str) -> str:
    """A dotted key as a path to a value in nested tables."""
    return f"{key}.name" if key in _INNER else key


def names_to_tables(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, in part, with names that stand for tables as tables: `criterion = "snip"`."""
    whole = dict(settings)
    for table, tag in TAGS.items():
        outer, _, inner = table.rpartition(".")
        if not outer and tag == "name" and isinstance(whole.get(table), str):
            whole[table] = {"name": whole[table]}
        elif isinstance(whole.get(outer), Mapping) and isinstance(whole[outer].get(inner), str):
            whole[outer] = {**whole[outer], inner: {"name": whole[outer][inner]}}
    return whole


def validate_run(settings: Mapping[str, Any]) -> Run:
    """The run described by `settings`, which name a valid `study`; may raise pydantic's ValidationError."""
    return RUN_TYPES[settings["study"]].model_validate(names_to_tables(settings))


def tables_of(study: str) -> tuple[str, ...]:
    """The tables of a run of `study` by dotted key; one inside another follows it."""
    found = []
    for table in RUN_TYPES[study].model_fields:
        found += [table, *(inner for inner in _INNER if inner.startswith(f"{table}."))]
    return tuple(table for table in found if models_of(study, table))


def models_of(study: object, table: str) -> tuple[type[SettingsTable], ...]:
    """The models of a table of a run, one for each of its kinds; none if there is no such table."""
    return _models_of(study, table) if isinstance(study, str) and study in RUN_TYPES else ()


@cache
def _models_of(study: str, table: str) -> tuple[type[SettingsTable], ...]:
    outer, _, inner = table.rpartition(".")
    if outer and not any(inner in model.model_fields for model in _models_of(study, outer)):
        return ()
    if not outer and table not in RUN_TYPES[study].model_fields:
        return ()
    if table in _FUNCTIONS:
        kind = _FUNCTIONS[table]
        return tuple(OneOf(kind).model(name) for name in FUNCTIONS[kind])
    annotation = RUN_TYPES[study].model_fields[table].annotation
    models = get_args(annotation) or (annotation,)
    return tuple(model for model in models if isinstance(model, type) and issubclass(model, SettingsTable))


def fields_of(study: object, table: str, kind: object = None) -> tuple[str, ...] | None:
    """The settings of a table of a run, of the given kind if it has several; None if there is no such table."""
    models = models_of(study, table)
    if models and table in _FUNCTIONS and isinstance(kind, str):
        try:
            return tuple(OneOf(_FUNCTIONS[table]).model(kind).model_fields)
        except ValidationError:
            return None
    for model in models:
        if table not in TAGS or model.model_fields[TAGS[table]].default == kind:
            return tuple(model.model_fields)
    return None


@cache
def keys_of(study: str) -> tuple[str, ...]:
    """The dotted keys of all settings that a run of `study` can have, of all kinds, and "seed"."""
    return (*_fields(study), "seed")


def setting_types(study: str) -> dict[str, type]:
    """The columns of all settings that a run of `study` can have, of all kinds, in order, with their types.

    These are bool, int, float, str and list; durations are strings. A column that is a whole number in one kind and
    any number in another is a float. Settings of functions in files of the user's are not among them; those that are
    called like one of these have its type (see `OneOf`).
    """
    types = {
        key.replace(".", "_"): reduce(common_type, map(plain_type, found)) for key, found in _fields(study).items()
    }
    return types | {"seed": int}


def _fields(study: str) -> dict[str, list[Any]]:
    """Dotted key of every setting -> its annotations in all kinds of its table."""
    found: dict[str, list[Any]] = {}
    for table in tables_of(study):
        for model in models_of(study, table):
            for name, field in model.model_fields.items():
                found.setdefault(shown_key(f"{table}.{name}"), []).append(field.annotation)
    return found


def neutral_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were added after runs had been stored, as the row of a run that lacks them is to be read."""
    kinds = tuple(columns.get(tag_key(table).replace(".", "_")) for table in TAGS)
    return {name: value for name, value in _neutral(columns["study"], kinds).items() if columns.get(name) is None}


@cache
def _neutral(study: str, kinds: tuple[Any, ...]) -> Mapping[str, Any]:
    chosen = dict(zip(TAGS, kinds, strict=True))
    return {
        f"{table}.{name}".replace(".", "_"): mark.value
        for table in (tables_of(study) if study in RUN_TYPES else ())
        for model in models_of(study, table)
        if table not in TAGS or model.model_fields[TAGS[table]].default == chosen[table]
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, HashNeutral)
    }
