import pytest

from petlsparse.analysis.labels import method_label, method_labels, setting
from petlsparse.analysis.quantities import count, counted, duration, memory, percent


@pytest.mark.parametrize(
    ("fields", "varying", "label"),
    [
        ({"kind": "dense"}, (), "dense"),
        ({"kind": "static", "density": 0.05}, (), "static d=0.05"),
        (
            {"kind": "dst", "criterion": "magnitude", "growth": "random", "density": 0.1, "update_period": 800.0},
            (),
            "dst magnitude/random d=0.1",
        ),
        (
            {"kind": "dst", "criterion": "set", "growth": "gradient", "density": 0.1, "update_period": 800.0},
            ("update_period", "criterion"),
            "dst set/gradient d=0.1 update_period=800",
        ),
        (
            {
                "kind": "adapters",
                "placement": "all-parallel",
                "rank": 8,
                "placement_count": None,
                "placement_edges": "[]",
                "placement_seed": 0,
            },
            ("rank",),
            "all-parallel r=8",
        ),
        ({"kind": "adapters", "placement": "first-k", "rank": 8.0, "placement_count": 3.0}, (), "first-3 r=8"),
        (
            {
                "kind": "adapters",
                "placement": "random",
                "rank": 8,
                "placement_count": 12,
                "placement_edge_kind": "recurrent",
                "placement_seed": 2,
            },
            ("placement_seed", "placement_edge_kind"),
            "random-12 recurrent r=8 placement_seed=2",
        ),
        (
            {"kind": "adapters", "placement": "explicit", "rank": 4, "placement_edges": "[[0,3],[12,1]]"},
            ("edges",),
            "0→3 12→1 r=4",
        ),
        (
            {
                "kind": "adapters",
                "placement": "explicit",
                "rank": 4,
                "placement_edges": "[[0,1],[0,2],[0,3],[0,4],[0,5]]",
            },
            (),
            "0→1 0→2 0→3 +2 more r=4",
        ),
        (
            {"kind": "lora", "targets": '["proj","qkv"]', "rank": 8.0, "alpha": 16.0, "dropout": 0.0},
            ("targets", "alpha"),
            "lora proj+qkv r=8 alpha=16",
        ),
        (
            {"kind": "adapters", "placement": "ffn-parallel", "rank": 8, "parameters": 5000.0, "ranks": None},
            ("rank", "parameters"),
            "ffn-parallel within 5000",
        ),
        (
            {"kind": "adapters", "placement": "all-parallel", "rank": 8, "parameters": None, "ranks": "[[0,1,2]]"},
            ("ranks",),
            "all-parallel r=8, some others",
        ),
        ({"kind": "layer-wise-probe", "node": 3.0}, ("node",), "layer-wise-probe node=3"),
    ],
)
def test_label(fields: dict[str, object], varying: tuple[str, ...], label: str) -> None:
    assert method_label(fields, varying) == label


EXPLICIT = {"kind": "adapters", "placement": "explicit", "rank": 4, "placement_seed": 0}
ALIKE = [{**EXPLICIT, "placement_edges": f"[[0,1],[0,2],[0,3],[0,{last}]]"} for last in (4, 5)]


def test_methods_that_would_read_the_same_are_told_apart() -> None:
    first, second, third = method_labels([*ALIKE, {**EXPLICIT, "placement_edges": "[[0,1]]"}])
    assert first != second
    assert first.startswith("0→1 0→2 0→3 +1 more r=4 #")
    assert third == "0→1 r=4"


def test_what_tells_methods_apart_does_not_depend_on_the_others() -> None:
    sparse = dict.fromkeys(["density", "criterion"])
    among_others = [{**fields, **sparse, "rank": 4.0} for fields in ALIKE]
    assert method_labels([*among_others[::-1], {**sparse, "kind": "linear-probe"}])[:2] == method_labels(ALIKE)[::-1]


def test_the_same_method_twice_keeps_its_short_name() -> None:
    assert method_labels([ALIKE[0], ALIKE[0]]) == ["0→1 0→2 0→3 +1 more r=4"] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345678, "12345678"),
        (12345679.0, "12345679"),
        (0.1234567, "0.1234567"),
        (0.05, "0.05"),
        (1e-5, "1e-05"),
        (1e300, "1e+300"),
        (2**70, str(2**70)),
        (True, "True"),
        (None, "None"),
        ("[1]", "[1]"),
    ],
)
def test_a_setting_shows_every_digit(value: object, text: str) -> None:
    assert setting(value) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (count(950), "950"),
        (count(999.6), "1.00k"),
        (count(1_234_567), "1.23M"),
        (count(45.64e9), "45.6G"),
        (count(None), "–"),
        (count(float("nan")), "–"),
        (memory(512 * 1024**2), "512 MiB"),
        (memory(1.5 * 1024**3), "1.50 GiB"),
        (duration(0.0421), "0.042 s"),
        (duration(4.21), "4.2 s"),
        (duration(85.4), "85 s"),
        (duration(12 * 60), "12 min"),
        (duration(3 * 3600 + 20 * 60), "3 h 20 min"),
        (duration(53 * 3600), "2 d 5 h"),
        (percent(93.125), "93.12"),
    ],
)
def test_quantity(text: str, expected: str) -> None:
    assert text == expected


def test_a_setting_of_one_criterion_is_not_said_of_another():
    def dst(criterion, weight):
        return {"kind": "dst", "criterion": criterion, "growth": "random", "density": 0.1, "criterion_lambda": weight}

    assert method_labels([dst("snip", None), dst("mest", 1.0)]) == ["dst snip/random d=0.1", "dst mest/random d=0.1"]
    assert method_labels([dst("snip", float("nan")), dst("mest", 1.0), dst("mest", 0.5)]) == [
        "dst snip/random d=0.1",
        "dst mest/random d=0.1 criterion_lambda=1",
        "dst mest/random d=0.1 criterion_lambda=0.5",
    ]


def test_one_thing_is_told_in_the_singular() -> None:
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
