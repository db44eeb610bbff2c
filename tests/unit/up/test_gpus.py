import pytest

from agewell.producer.up import infer_workers
from agewell.producer.up.infer_workers import gpus_from, infer_programs
from agewell.shared.errors import ParameterError
from agewell.shared.settings import Settings
from tests.support.model_files import version_directory


@pytest.mark.parametrize(
    ("text", "gpus"),
    [(None, ()), ("1", ("0",)), ("3", ("0", "1", "2")), ("0,2", ("0", "2")), ("2,2,", None)],
)
def test_gpus_are_named_by_how_many_or_which(text, gpus):
    if gpus is None:
        with pytest.raises(ParameterError):
            gpus_from(text)
    else:
        assert gpus_from(text) == gpus


def test_all_are_those_that_the_driver_shows(monkeypatch, tmp_path):
    monkeypatch.setattr(infer_workers, "_DRIVER", tmp_path)
    with pytest.raises(ParameterError, match="shows no GPU"):
        gpus_from("all")
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / bus).mkdir()
    assert gpus_from("all") == ("0", "1")


def test_each_gpu_has_a_process_that_sees_it_alone(tmp_path):
    version_directory(tmp_path, "m", "1", task="image", kind="torch", entry="a:b")
    settings = Settings(models_dir=tmp_path)
    programs = infer_programs(settings, ("0", "2"), {"A": "b"}, lambda *_: None)
    assert [dict(each.env) for each in programs] == [
        {"A": "b", "CUDA_VISIBLE_DEVICES": "0"},
        {"A": "b", "CUDA_VISIBLE_DEVICES": "2"},
    ]
    [alone] = infer_programs(settings, (), {}, lambda *_: None)
    assert "CUDA_VISIBLE_DEVICES" not in alone.env


def test_no_infer_worker_starts_without_models(tmp_path):
    said = []
    programs = infer_programs(
        Settings(models_dir=tmp_path), (), {}, lambda *each: said.append(each)
    )
    assert programs == []
    assert "not started: no name/version/model.yaml" in said[0][1]
