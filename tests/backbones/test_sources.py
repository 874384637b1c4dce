"""Backbones by name: bundled, timm, local; what cannot be loaded is refused at once and says what would work."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from petlsparse.backbones import hub, load_backbone, nodes_of, sources
from petlsparse.errors import UserError


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def vit() -> torch.nn.Module:
    """A timm model with weights of its own and a 5-class head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return timm.create_model("test_vit", num_classes=5).eval()


@pytest.fixture
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def features(vit: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return vit.forward_head(vit.forward_features(images), pre_logits=True)


# -- timm names


def test_mean_std_channels_and_size_are_those_of_the_checkpoint() -> None:
    augreg = load_backbone("vit_tiny_patch16_224.augreg_in21k", pretrained=False)
    assert (augreg.mean, augreg.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (augreg.nodes, augreg.width, augreg.channels, augreg.image_size) == (25, 192, 3, 224)
    deit = load_backbone("deit_tiny_patch16_224", pretrained=False)
    assert (deit.mean, deit.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_random_weights_depend_on_the_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("CUDA was reseeded"))
    one = load_backbone("test_vit", pretrained=False, generator=generator(7)).fingerprint
    assert torch.equal(torch.get_rng_state(), before)
    torch.default_generator.manual_seed(2)
    assert load_backbone("test_vit", pretrained=False, generator=generator(7)).fingerprint == one
    assert load_backbone("test_vit", pretrained=False, generator=generator(8)).fingerprint != one


@pytest.mark.parametrize("name", ["vit-micro", "test_vit"])
def test_nodes_are_known_by_name_alone(name: str) -> None:
    assert nodes_of(name) == load_backbone(name, pretrained=False).nodes


def test_weights_in_the_hub_cache_need_no_network(
    vit: torch.nn.Module, empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    commit = "0" * 40
    repo = empty_hub_cache / "models--timm--test_vit.r160_in1k"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    full = timm.create_model("test_vit", num_classes=1000)
    full.load_state_dict({k: v for k, v in vit.state_dict().items() if "head" not in k}, strict=False)
    save_file(full.state_dict(), snapshot / "model.safetensors")
    images = torch.randn(2, 3, 160, 160, generator=generator(0))
    for name in ("test_vit", "test_vit.r160_in1k"):
        torch.testing.assert_close(load_backbone(name)(images), features(vit, images).detach())


def test_without_the_weights_and_offline_the_error_names_three_local_ways(empty_hub_cache: Path) -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set") as caught:
        load_backbone("vit_tiny_patch16_224.augreg_in21k")
    for way in ("vit-micro", "local-dir:PATH", "HF_HOME"):
        assert way in str(caught.value)


def test_a_hub_that_does_not_answer_is_asked_once(empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:  # a port on which nobody listens any more
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(sources, "build", lambda *_, **__: pytest.fail("went on to download"))
    with pytest.raises(UserError, match="the hub does not answer"):
        load_backbone("test_vit")


@pytest.mark.parametrize("status", [200, 401, 403, 404, 405])
def test_any_answer_means_that_the_hub_is_there(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.handle_request)
        thread.start()
        hub.ensure_reachable("test_vit", "timm/test_vit.r160_in1k")
        thread.join()


def test_an_endpoint_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "mirror.example")
    with pytest.raises(UserError, match="the hub does not answer"):
        hub.ensure_reachable("test_vit", "timm/test_vit.r160_in1k")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vit_smal_patch16_224", "did you mean vit_small_patch16_224?"),
        ("vit-tiny-patch16-224", "did you mean vit_tiny_patch16_224?"),
        ("vit_tiny_patch16_224.augreg_in22k", "did you mean vit_tiny_patch16_224.augreg_in21k?"),
        ("hf-hub:timm/test_vit", "local-dir:PATH"),
        ("resnet18", "ResNet"),
        ("swin_tiny_patch4_window7_224", "SwinTransformer"),
        ("deit_tiny_distilled_patch16_224", "VisionTransformerDistilled"),
        ("vit_base_patch16_xp_224", "in parallel"),
        ("vit_base_patch16_rpn_224", "res-post-norm"),
        ("vit_relpos_small_patch16_224", "VisionTransformerRelPos"),
        ("beit_base_patch16_224", "Beit"),
        ("vit_base_patch16_sapiens2", "1024 by 768"),
    ],
)
def test_a_name_that_cannot_work_is_refused_before_weights_are_looked_for(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "cached_weights", lambda *_: pytest.fail("looked for weights"))
    with pytest.raises(UserError) as caught:
        load_backbone(name)
    assert says in str(caught.value)


def test_an_architecture_without_published_weights_says_so() -> None:
    with pytest.raises(UserError, match="timm has no weights"):
        load_backbone("vit_small_patch16_36x1_224")


@pytest.mark.parametrize("size", [8, 30, 0, -16])
def test_an_image_size_that_patches_do_not_fill_is_refused(size: int) -> None:
    with pytest.raises(UserError, match="multiple of the patch size 16") as caught:
        load_backbone("test_vit", pretrained=False, image_size=size)
    assert caught.value.problems[0].where == "backbone.image_size"


# -- local checkpoints


def save_folder(vit: torch.nn.Module, folder: Path, **config: object) -> None:
    """A checkpoint folder as timm itself writes it, with another mean and std and any other changes to config.json."""
    timm.models.save_for_hf(vit, str(folder), safe_serialization=True)
    saved = json.loads((folder / "config.json").read_text())
    saved["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (folder / "config.json").write_text(json.dumps(saved | config))


def test_a_timm_checkpoint_folder_is_loaded_with_its_own_normalisation(vit: torch.nn.Module, tmp_path: Path) -> None:
    save_folder(vit, tmp_path / "mine")
    stream = load_backbone(f"local-dir:{tmp_path / 'mine'}")
    images = torch.randn(2, 3, 160, 160, generator=generator(0))
    torch.testing.assert_close(stream(images), features(vit, images).detach())
    assert (stream.mean, stream.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_weight_file_named_after_its_model_is_loaded(vit: torch.nn.Module, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"test_vit.r160_in1k{suffix}"
    if suffix == ".pth":
        torch.save(vit.state_dict(), path)
    else:
        save_file(vit.state_dict(), path)
    images = torch.randn(2, 3, 160, 160, generator=generator(0))
    torch.testing.assert_close(load_backbone(f"local-dir:{path}")(images), features(vit, images).detach())


def test_weights_that_a_file_lacks_do_not_stay_random(vit: torch.nn.Module, tmp_path: Path) -> None:
    weights = vit.state_dict()
    del weights["blocks.3.mlp.fc1.weight"]
    save_file(weights, tmp_path / "test_vit.safetensors")
    with pytest.raises(UserError, match=r"blocks\.3\.mlp\.fc1\.weight"):
        load_backbone(f"local-dir:{tmp_path / 'test_vit.safetensors'}")


def test_weights_saved_without_a_classifier_are_loaded(vit: torch.nn.Module, tmp_path: Path) -> None:
    images = torch.randn(2, 3, 160, 160, generator=generator(0))
    expected = features(vit, images).detach()
    vit.reset_classifier(0)
    save_file(vit.state_dict(), tmp_path / "test_vit.safetensors")
    save_folder(vit, tmp_path / "folder")
    for name in ("test_vit.safetensors", "folder"):
        torch.testing.assert_close(load_backbone(f"local-dir:{tmp_path / name}")(images), expected)


def test_another_image_size_resamples_the_position_embedding_as_timm_does(vit: torch.nn.Module, tmp_path: Path) -> None:
    save_file(vit.state_dict(), tmp_path / "test_vit.safetensors")
    stream = load_backbone(f"local-dir:{tmp_path / 'test_vit.safetensors'}", image_size=64)
    vit.set_input_size(img_size=(64, 64))
    images = torch.randn(2, 3, 64, 64, generator=generator(0))
    assert stream.image_size == 64
    torch.testing.assert_close(stream(images), features(vit, images).detach())


def test_a_local_architecture_can_be_the_random_control(vit: torch.nn.Module, tmp_path: Path) -> None:
    save_folder(vit, tmp_path / "mine")
    name = f"local-dir:{tmp_path / 'mine'}"
    control = load_backbone(name, pretrained=False, generator=generator(5))
    assert control.fingerprint != load_backbone(name).fingerprint
    assert control.mean == (0.1, 0.2, 0.3)


def test_what_is_not_a_checkpoint_is_refused_with_its_path(vit: torch.nn.Module, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "test_vit.safetensors").write_bytes(b"not weights")
    (tmp_path / "test_vit.pth").write_bytes(b"not weights")
    (tmp_path / "my_weights.pth").write_bytes(b"")
    save_folder(vit, tmp_path / "wrong", architecture="test_vit2")
    save_folder(vit, tmp_path / "unknown", architecture="test_vitt")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    names = [
        "empty",
        "test_vit.safetensors",
        "test_vit.pth",
        "my_weights.pth",
        "wrong",
        "unknown",
        "broken",
        "bare",
        "gone",
    ]
    for name in names:
        with pytest.raises(UserError) as caught:
            load_backbone(f"local-dir:{tmp_path / name}")
        assert caught.value.problems[0].where == "backbone.name"
        assert Path(name).stem in str(caught.value), name


@pytest.mark.parametrize("folder", [True, False])
def test_a_block_that_is_missing_does_not_stay_random_whatever_the_classifier(
    folder: bool, vit: torch.nn.Module, tmp_path: Path
) -> None:
    weights = {name: tensor for name, tensor in vit.state_dict().items() if not name.startswith("blocks.3.")}
    if folder:
        save_folder(vit, tmp_path / "test_vit", model_args={"num_classes": 7})
        save_file(weights, tmp_path / "test_vit" / "model.safetensors")
    else:
        save_file(weights, tmp_path / "test_vit.safetensors")
    with pytest.raises(UserError, match=r"blocks\.3\.norm1"):
        load_backbone(f"local-dir:{tmp_path / ('test_vit' if folder else 'test_vit.safetensors')}")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float, vit: torch.nn.Module, tmp_path: Path) -> None:
    vit.state_dict()["blocks.2.mlp.fc1.bias"][3] = value
    save_file(vit.state_dict(), tmp_path / "test_vit.safetensors")
    with pytest.raises(UserError, match=r"not finite: blocks\.2\.mlp\.fc1\.bias"):
        load_backbone(f"local-dir:{tmp_path / 'test_vit.safetensors'}")


def test_a_classifier_of_other_size_than_the_folder_says_does_no_harm(vit: torch.nn.Module, tmp_path: Path) -> None:
    save_folder(vit, tmp_path / "mine", model_args={"num_classes": 7, "img_size": 160}, num_classes=9)
    images = torch.randn(2, 3, 160, 160, generator=generator(0))
    torch.testing.assert_close(load_backbone(f"local-dir:{tmp_path / 'mine'}")(images), features(vit, images).detach())


def test_a_hybrid_on_this_machine_asks_no_hub_for_its_stem(tmp_path: Path, empty_hub_cache: Path) -> None:
    hybrid = timm.create_model("vit_small_resnet26d_224", img_size=64, depth=1).eval()
    save_folder(hybrid, tmp_path / "mine", model_args={"img_size": 64, "depth": 1})
    stream = load_backbone(f"local-dir:{tmp_path / 'mine'}")
    images = torch.randn(1, 3, 64, 64, generator=generator(0))
    torch.testing.assert_close(stream(images), features(hybrid, images).detach())


ODD_CONFIGS: dict[str, tuple[object, str]] = {
    "two sizes": ({"model_args": {"img_size": [32, 64]}}, "32 by 64"),
    "no arguments": ({"model_args": None}, "odd"),
    "arguments of another kind": ({"model_args": [1]}, "odd"),
    "unknown argument": ({"model_args": {"heads": 2}}, "heads"),
    "huge": ({"model_args": {"embed_dim": 10**30}}, "odd"),
    "negative": ({"model_args": {"depth": -1}}, "odd"),
    "words": ({"model_args": {"num_heads": "two"}}, "odd"),
    "mean is a number": ({"pretrained_cfg": {"mean": 0.5}}, "mean"),
    "mean of bytes": ({"pretrained_cfg": {"mean": [123.7, 116.3, 103.5]}}, "mean"),
    "mean of one": ({"pretrained_cfg": {"mean": [0.5]}}, "mean"),
    "std of zero": ({"pretrained_cfg": {"std": [0.2, 0, 0.2]}}, "std"),
    "std of words": ({"pretrained_cfg": {"std": ["a", "b", "c"]}}, "std"),
    "std not finite": ({"pretrained_cfg": {"std": [0.2, float("nan"), 0.2]}}, "std"),
    "no config": ({"pretrained_cfg": None}, "odd"),
    "architecture is a number": ({"architecture": 5}, "odd"),
    "a list": ([1, 2], "odd"),
}


@pytest.mark.parametrize(("config", "says"), ODD_CONFIGS.values(), ids=ODD_CONFIGS.keys())
def test_an_odd_config_is_one_message(config: object, says: str, vit: torch.nn.Module, tmp_path: Path) -> None:
    save_folder(vit, tmp_path / "odd")
    saved = json.loads((tmp_path / "odd" / "config.json").read_text())
    for key, value in config.items() if isinstance(config, dict) else ():
        saved[key] = saved[key] | value if key == "pretrained_cfg" and value else value
    (tmp_path / "odd" / "config.json").write_text(json.dumps(saved if isinstance(config, dict) else config))
    with pytest.raises(UserError) as caught:
        load_backbone(f"local-dir:{tmp_path / 'odd'}")
    assert says in str(caught.value)
    assert len(caught.value.problems) == 1


# -- equal weights, another forward pass

OTHER_PASSES: dict[str, dict[str, object]] = {
    "heads": {"model_args": {"num_heads": 4}},
    "activation": {"model_args": {"act_layer": "gelu_tanh"}},
    "pooling": {"model_args": {"global_pool": "avg", "fc_norm": False}},
    "pooled tokens": {"model_args": {"global_pool": "avg", "fc_norm": False, "pool_include_prefix": True}},
    "size": {"pretrained_cfg": {"input_size": [3, 160, 160]}, "model_args": {"img_size": 80}},
    "mean": {"pretrained_cfg": {"mean": [0.1, 0.2, 0.4]}},
    "std": {"pretrained_cfg": {"std": [0.4, 0.5, 0.7]}},
}


def folder_with(vit: torch.nn.Module, folder: Path, changes: dict[str, object]) -> str:
    save_folder(vit, folder)
    saved = json.loads((folder / "config.json").read_text())
    for table, entries in changes.items():
        saved[table] = saved.get(table, {}) | entries
    (folder / "config.json").write_text(json.dumps(saved))
    return f"local-dir:{folder}"


@pytest.mark.parametrize("changes", OTHER_PASSES.values(), ids=OTHER_PASSES.keys())
def test_equal_weights_in_another_forward_pass_have_another_fingerprint(
    changes: dict[str, object], vit: torch.nn.Module, tmp_path: Path
) -> None:
    one = load_backbone(folder_with(vit, tmp_path / "one", {}))
    other = load_backbone(folder_with(vit, tmp_path / "other", changes), image_size=160)
    if "size" not in str(changes):
        assert one.fingerprint == other.fingerprint
        assert one.forward_fingerprint != other.forward_fingerprint
    else:
        smaller = load_backbone(folder_with(vit, tmp_path / "other", changes))
        assert smaller.forward_fingerprint != other.forward_fingerprint == one.forward_fingerprint


def test_equal_content_has_one_fingerprint_wherever_it_lies_and_whatever_its_classifier(
    vit: torch.nn.Module, tmp_path: Path
) -> None:
    usual = {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5, 0.5, 0.5]}}
    names = [folder_with(vit, tmp_path / name, usual) for name in ("one", "two")]
    vit.reset_classifier(0)
    names.append(folder_with(vit, tmp_path / "headless", usual))
    save_file(vit.state_dict(), tmp_path / "test_vit.safetensors")
    names.append(f"local-dir:{tmp_path / 'test_vit.safetensors'}")
    streams = [load_backbone(name) for name in names]
    assert len({stream.fingerprint for stream in streams}) == 1
    assert {stream.forward_fingerprint for stream in streams} == {
        load_backbone("test_vit", pretrained=False).forward_fingerprint
    }


# -- vit-micro


def test_vit_micro_is_a_stream_of_thirteen_nodes() -> None:
    stream = load_backbone("vit-micro", pretrained=False)
    assert (stream.nodes, stream.width, stream.channels, stream.image_size) == (13, 96, 3, 32)
    assert stream.mean == stream.std == (0.5, 0.5, 0.5)


def test_vit_micro_takes_the_weights_of_the_trained_network_without_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from petlsparse.networks.vit_micro import vit_micro

    trained = vit_micro(11).eval()
    save_file(trained.state_dict(), tmp_path / "vit-micro.safetensors")
    monkeypatch.setattr(sources, "BUNDLED", tmp_path / "vit-micro.safetensors")
    images = torch.randn(2, 3, 32, 32, generator=generator(0))
    torch.testing.assert_close(load_backbone("vit-micro")(images), features(trained, images).detach())
    trained.set_input_size(img_size=(48, 48))
    images = torch.randn(2, 3, 48, 48, generator=generator(0))
    larger = load_backbone("vit-micro", image_size=48)
    torch.testing.assert_close(larger(images), features(trained, images).detach())
    with pytest.raises(UserError, match="patch size 8"):
        load_backbone("vit-micro", image_size=36)


def test_missing_bundled_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BUNDLED", tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="pretrained = false"):
        load_backbone("vit-micro")
