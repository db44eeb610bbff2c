"""`agewell up --gpus`: counts, indexes, UUIDs and MIG names, with a driver that is played."""

import pytest

from agewell.producer.up import infer_workers
from agewell.producer.up.infer_workers import gpus_from, infer_programs
from agewell.shared.errors import ParameterError
from agewell.shared.settings import Settings
from tests.support.model_files import version_directory

FIRST = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"
SECOND = "GPU-5d5ba0d7-0000-2b2c-524d-9e3d8d2b8a78"
SLICES = (
    "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",
    "MIG-GPU-5d5ba0d7-0000-2b2c-524d-9e3d8d2b8a78/2/0",
)
LISTED = f"""\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: {FIRST})
GPU 1: NVIDIA A100-SXM4-40GB (UUID: {SECOND})
  MIG 1g.5gb      Device  0: (UUID: {SLICES[0]})
  MIG 1g.5gb      Device  1: (UUID: {SLICES[1]})
"""
INFORMATION = "Model: \t\t NVIDIA A100\nIRQ:   \t\t 122\nGPU UUID: \t {}\nDevice Minor: \t {}\n"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, tmp_path):
    """No driver, no nvidia-smi, and nothing chosen by the environment."""
    monkeypatch.setattr(infer_workers, "_DRIVER", tmp_path / "nothing")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(infer_workers.metadata, "version", lambda name: "2.13.0+cu130")


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """The driver's folder with two GPUs."""
    folder = tmp_path / "gpus"
    for minor, uuid in enumerate((FIRST, SECOND)):
        gpu = folder / f"0000:0{minor + 1}:00.0"
        gpu.mkdir(parents=True)
        (gpu / "information").write_text(INFORMATION.format(uuid, minor))
    monkeypatch.setattr(infer_workers, "_DRIVER", folder)
    return folder


@pytest.fixture
def smi(tmp_path):
    """An nvidia-smi that lists two GPUs and two MIG devices."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && /bin/cat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        (None, ()),
        ("1", ("0",)),
        ("3", ("0", "1", "2")),
        ("0", ("0",)),
        ("device=1", ("1",)),
        ("device=0,2", ("0", "2")),
        ("0,2", ("0", "2")),
        ("2,2", ("2",)),
        (FIRST, (FIRST,)),
        (SLICES[0], (SLICES[0],)),
        (f"0, {SECOND},{SLICES[1]}", ("0", SECOND, SLICES[1])),
    ],
)
def test_gpus_are_named_by_how_many_or_which(text, gpus):
    assert gpus_from(text) == gpus


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2,2,",
        ",",
        "-1",
        "01",
        "1.5",
        "two",
        "1000",
        "٣",
        "GPU-",
        "gpu-12",
        "GPU-x",
        "0;1",
        "device=",
    ],
)
def test_text_that_names_no_gpu_is_refused(text):
    with pytest.raises(ParameterError, match="allowed: all, how many, or which: 0 or device=1"):
        gpus_from(text)


def test_all_are_those_that_the_driver_shows(monkeypatch, tmp_path):
    monkeypatch.setattr(infer_workers, "_DRIVER", tmp_path / "empty")
    with pytest.raises(ParameterError, match="shows no GPU"):
        gpus_from("all")
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "empty" / bus).mkdir(parents=True)
    assert gpus_from("all") == ("0", "1")


def test_all_are_those_that_nvidia_smi_lists_if_the_driver_shows_no_folder(smi):
    assert gpus_from("all") == ("0", "1")


def test_all_and_a_count_keep_to_the_gpus_that_the_environment_allows(driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"1,{FIRST}")
    assert gpus_from("all") == ("1", FIRST)
    assert gpus_from("1") == ("1",)
    with pytest.raises(ParameterError, match=f"is 3; allowed: at most 2, as .* is 1,{FIRST}"):
        gpus_from("3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(ParameterError, match="no GPU"):
        gpus_from("all")


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("1,0", ("1", "0")),
        (f"0,{FIRST}", ("0",)),
        (f"{FIRST},0,1", (FIRST, "1")),
        ("GPU-5d5ba0d6", ("GPU-5d5ba0d6",)),
        (SLICES[0], (SLICES[0],)),  # the driver's folder shows no MIG devices
    ],
)
def test_a_gpu_that_is_there_is_taken_once(driver, text, gpus):
    assert gpus_from(text) == gpus


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,2", "--gpus is '2', which is not on this machine; allowed: 0 or GPU-5d5ba0d6-d33d"),
        ("device=7", "'7', which is not on this machine"),
        ("GPU-99", "'GPU-99', which is not on this machine"),
        ("GPU-5d5ba0d", "'GPU-5d5ba0d', which is the start of several"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(driver, text, said):
    with pytest.raises(ParameterError) as caught:
        gpus_from(text)
    assert said in str(caught.value)
    assert SECOND in str(caught.value)


def test_a_mig_device_is_checked_if_nvidia_smi_lists_them(driver, smi):
    assert gpus_from(",".join(SLICES)) == SLICES
    with pytest.raises(ParameterError, match=rf"not on this machine; .*{SLICES[0]}"):
        gpus_from("MIG-99")


def test_each_gpu_has_a_process_that_sees_it_alone(tmp_path):
    version_directory(tmp_path, "m", "1", task="image", kind="torch", entry="a:b")
    settings = Settings(models_dir=tmp_path)
    programs = infer_programs(settings, ("0", SLICES[1]), {"A": "b"}, lambda *_: None)
    assert [dict(each.env) for each in programs] == [
        {"A": "b", "CUDA_VISIBLE_DEVICES": "0"},
        {"A": "b", "CUDA_VISIBLE_DEVICES": SLICES[1]},
    ]
    assert [each.name for each in programs] == [
        "infer worker 0",
        f"infer worker {SLICES[1].replace('/', '-')}",
    ]
    [alone] = infer_programs(settings, (), {}, lambda *_: None)
    assert "CUDA_VISIBLE_DEVICES" not in alone.env


@pytest.mark.parametrize(
    ("gpus", "warned"),
    [(("0", "1"), []), (("0", "1", "2"), ["infer worker 2"]), ((FIRST,), [])],
)
def test_a_worker_without_a_gpu_is_warned_of(tmp_path, driver, gpus, warned):
    version_directory(tmp_path, "m", "1", task="image", kind="torch", entry="a:b")
    said = []
    infer_programs(Settings(models_dir=tmp_path), gpus, {}, lambda *each: said.append(each))
    assert [part for part, _ in said] == warned
    assert all("would run on the CPU" in event for _, event in said)


def test_a_build_of_torch_without_cuda_is_warned_of(tmp_path, driver, monkeypatch):
    version_directory(tmp_path, "m", "1", task="image", kind="torch", entry="a:b")
    monkeypatch.setattr(infer_workers.metadata, "version", lambda name: "2.13.0+cpu")
    said = []
    infer_programs(Settings(models_dir=tmp_path), ("0", "1"), {}, lambda *each: said.append(each))
    told = "warning: torch 2.13.0+cpu is a build without CUDA, so each worker runs on the CPU"
    assert said == [("infer worker", told)]
    infer_programs(Settings(models_dir=tmp_path), (), {}, lambda *each: said.append(each))
    assert len(said) == 1  # nobody asked for a GPU


@pytest.mark.parametrize(("given", "warned"), [(None, 0), ("", 0), ("-1", 0), ("1", 1), (FIRST, 1)])
def test_a_worker_that_was_given_a_gpu_and_finds_none_says_so(monkeypatch, caplog, given, warned):
    import torch

    from agewell.workers.models import device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert device.choose_device() == torch.device("cpu")
    assert len(caplog.records) == warned
    assert all("models run on the CPU" in record.getMessage() for record in caplog.records)


def test_every_worker_is_warned_of_if_there_is_no_gpu(tmp_path):
    version_directory(tmp_path, "m", "1", task="image", kind="torch", entry="a:b")
    said = []
    infer_programs(Settings(models_dir=tmp_path), ("0", "1"), {}, lambda *each: said.append(each))
    assert [part for part, _ in said] == ["infer worker 0", "infer worker 1"]


def test_no_infer_worker_starts_without_models(tmp_path):
    said = []
    programs = infer_programs(
        Settings(models_dir=tmp_path), (), {}, lambda *each: said.append(each)
    )
    assert programs == []
    assert "not started: no name/version/model.yaml" in said[0][1]
