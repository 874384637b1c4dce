"""The run: one fully resolved training, one configuration and one seed, as frozen torch-free data.

The names of tables and fields become the columns of the result tables. A field added later declares
`HashNeutral`, or every stored run would lose its identity.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property, reduce
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Self, TypeAlias, Union, get_args, get_origin

from pydantic import AfterValidator

from petlsparse.recipe.fields import (
    BelowOne,
    Colour,
    Count,
    Counts,
    HashNeutral,
    Index,
    Name,
    Names,
    Part,
    Pixels,
    Table,
)
from petlsparse.recipe.identity import canonical_json, run_id, run_ids
from petlsparse.recipe.methods import AdapterMethod, SparseMethod
from petlsparse.recipe.nesting import flatten
from petlsparse.recipe.optimization import Constant, Optimizer, Schedule, Training


class Data(Table):
    """What is trained on."""

    name: Annotated[str, AfterValidator(Name("datasets"))]
    """The data set; `folder:NAME` is a tree of class folders."""
    image_size: Pixels | None = None
    """Side that images are resized to; their own unless given. adapter-search: the backbone's, see `backbone`."""
    train_examples: Count | None = None
    """Train on a class-balanced part of so many images, the same for all seeds; on all unless given."""
    augment: Annotated[str, AfterValidator(Name("augmentations"))] = "none"
    """How training images are varied, anew in every epoch."""
    fit: Literal["train", "train+val"] = "train"
    """The part trained on; `train+val` leaves no validation, so that the last weights are tested."""
    image_fit: Annotated[Literal["resize", "crop"], HashNeutral("resize")] = "resize"
    """How images of a folder become squares: both sides resized, or the middle cut out, its shape kept."""
    background: Annotated[Colour, HashNeutral("white")] = "white"
    """What transparent pixels of a folder's images are laid over."""
    val_fraction: Annotated[Part, HashNeutral(0.1)] = 0.1
    """Validation part of a folder that has none: of what is left after the test part, in proportion to the classes."""
    test_fraction: Annotated[Part, HashNeutral(0.2)] = 0.2
    """Test part of a folder that has none: of everything, in proportion to the classes."""


class Backbone(Table):
    """The frozen pre-trained transformer."""

    name: str = "vit-micro"
    """`vit-micro` (bundled), `local-dir:PATH`, or the name of a timm ViT, whose weights the hub is asked for."""
    pretrained: bool = True
    """False: random weights drawn from the run's seed, as a control."""
    image_size: Pixels | None = None
    """Side of the images; what the backbone was trained with unless given."""
    frozen_precision: Annotated[Literal["float32", "bf16"], HashNeutral("float32")] = "float32"
    """What its values are rounded to where the trained part takes over."""


class Network(Table):
    """The network trained from scratch."""

    name: Annotated[str, AfterValidator(Name("networks"))]
    """The architecture."""
    widths: Counts | None = None
    """Hidden widths of an `mlp`, [1024, 512] unless given; the others take none."""
    dropout: BelowOne = 0.0
    """Probability that an `mlp` drops an activation, before every linear layer; the others take none."""


class _Run(Table):
    """What every run can tell about itself."""

    @cached_property
    def run_id(self) -> str:
        """12 hex that name this run in a store."""
        return run_id(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Another run, with changes that are not validated, and with an id of its own."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("run_id", None)
        return copy

    def with_seeds(self, seeds: Sequence[int]) -> Iterator[Self]:
        """The run with each of these seeds, its other tables shared."""
        for seed, name in zip(seeds, run_ids(self, seeds), strict=True):
            run = self.model_copy(update={"seed": seed})
            run.__dict__["run_id"] = name
            yield run

    def settings(self) -> dict[str, Any]:
        """All settings, nested, as JSON values; `parse_run` reads them back."""
        return self.model_dump(mode="json")

    def flat(self) -> dict[str, Any]:
        """All settings as table columns such as `method_density`; durations and tuples as strings."""
        columns = flatten(self.settings(), "_")
        return {key: canonical_json(value) if isinstance(value, list) else value for key, value in columns.items()}


class SparseRun(_Run):
    """A network trained from scratch: dense, static sparse or dynamically sparse."""

    study: Literal["dst-sweep"] = "dst-sweep"
    data: Data
    network: Network
    method: SparseMethod
    optimizer: Optimizer
    schedule: Schedule = Constant()
    training: Training
    seed: Index


class AdapterRun(_Run):
    """A pre-trained transformer adapted to a task."""

    study: Literal["adapter-search"] = "adapter-search"
    data: Data
    backbone: Backbone = Backbone()
    method: AdapterMethod
    optimizer: Optimizer
    schedule: Schedule = Constant()
    training: Training
    seed: Index


Run: TypeAlias = SparseRun | AdapterRun

RUN_TYPES: Mapping[str, type[SparseRun] | type[AdapterRun]] = MappingProxyType(
    {"dst-sweep": SparseRun, "adapter-search": AdapterRun}
)

TAGS: Mapping[str, str] = MappingProxyType({"method": "kind", "optimizer": "name", "schedule": "name"})
"""The tables that come in several kinds, with the key that says which."""


def validate_run(settings: Mapping[str, Any], names: Names | None = None) -> Run:
    """The run described by `settings`, which name a valid `study`; may raise pydantic's ValidationError."""
    return RUN_TYPES[settings["study"]].model_validate(dict(settings), context=names)


def fields_of(study: object, table: str, kind: object = None) -> tuple[str, ...] | None:
    """The settings of a table of a run, of the given kind if it has several; None if there is no such table."""
    for model in models_of(study, table):
        if table not in TAGS or model.model_fields[TAGS[table]].default == kind:
            return tuple(model.model_fields)
    return None


def keys_of(study: str) -> tuple[str, ...]:
    """The dotted keys of all settings that a run of `study` can have, of all kinds, and "seed"."""
    tables = RUN_TYPES[study].model_fields
    keys = [f"{table}.{name}" for table in tables for model in models_of(study, table) for name in model.model_fields]
    return (*dict.fromkeys(keys), "seed")


def setting_types(study: str) -> dict[str, type]:
    """The columns of all settings that a run of `study` can have, of all kinds, in order, with their types.

    These are bool, int, float, str and list; durations are strings. A column that is a whole number in one kind and
    any number in another is a float.
    """
    columns: dict[str, type] = {}
    for table in RUN_TYPES[study].model_fields:
        for model in models_of(study, table):
            for name, field in model.model_fields.items():
                column, found = f"{table}_{name}", _plain_type(field.annotation)
                columns[column] = _common(columns.get(column, found), found)
    return columns | {"seed": int}


def _plain_type(annotation: Any) -> type:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain_type(arguments[0])
    if origin is Literal:
        return reduce(_common, map(type, arguments))
    if origin in (Union, UnionType):
        return reduce(_common, (_plain_type(each) for each in arguments if each is not type(None)))
    if origin in (tuple, list):
        return list
    return annotation if annotation in (bool, int, float) else str


def _common(one: type, other: type) -> type:
    return one if one is other else float if {one, other} == {int, float} else str


def neutral_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were added after runs had been stored, as the row of a run that lacks them is to be read."""
    kinds = tuple(columns.get(f"{table}_{tag}") for table, tag in TAGS.items())
    return {name: value for name, value in _neutral(columns["study"], kinds).items() if columns.get(name) is None}


@cache
def _neutral(study: str, kinds: tuple[Any, ...]) -> Mapping[str, Any]:
    chosen = dict(zip(TAGS, kinds, strict=True))
    return {
        f"{table}_{name}": mark.value
        for table in (RUN_TYPES[study].model_fields if study in RUN_TYPES else ())
        for model in models_of(study, table)
        if table not in TAGS or model.model_fields[TAGS[table]].default == chosen[table]
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, HashNeutral)
    }


def models_of(study: object, table: str) -> list[type[Table]]:
    """The models of a table of a run, one for each of its kinds; none if there is no such table."""
    if not isinstance(study, str) or study not in RUN_TYPES or table not in RUN_TYPES[study].model_fields:
        return []
    annotation = RUN_TYPES[study].model_fields[table].annotation
    models = get_args(annotation) or (annotation,)
    return [model for model in models if isinstance(model, type) and issubclass(model, Table)]
