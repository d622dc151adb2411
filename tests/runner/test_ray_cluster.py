import socket
import sys
from importlib.util import find_spec

import pytest

from benchmark.core.errors import UsageError
from benchmark.data import Folders
from benchmark.runner import ray_cluster
from benchmark.runner.ray_cluster import JobResources, Node, connect
from benchmark.runner.ray_executor import choose_device, estimate_memory, resources_of_job

from .dummy_jobs import DummyJob

GB = 10**9


def node(**resources):
    return Node("id", "name", resources)


def test_a_node_has_room_for_as_many_jobs_as_its_scarcest_resource_allows():
    assert JobResources(cpus=2).fitting(node(CPU=7.0)) == 3
    assert JobResources(memory=2 * GB).fitting(node(CPU=8.0, memory=5e9)) == 2
    assert JobResources(jobs_per_gpu=3).fitting(node(CPU=8.0, GPU=2.0)) == 6
    assert JobResources(jobs_per_gpu=3).fitting(node(CPU=8.0)) == 0
    assert JobResources().fitting(node()) == 0


def test_the_parts_of_a_gpu_add_up_to_no_more_than_one():
    for jobs in range(1, 9):
        assert 0.99 < jobs * JobResources(jobs_per_gpu=jobs).gpus <= 1


def test_a_job_on_the_cpu_takes_one():
    assert resources_of_job([node(CPU=8.0, memory=9e9)], "cpu", 100, GB) == JobResources(memory=GB)


def test_jobs_share_gpus_and_the_cpus_of_their_nodes_equally():
    found = [node(CPU=16.0, GPU=4.0, memory=9e9), node(CPU=8.0, GPU=1.0, memory=9e9), node(CPU=64.0)]
    assert resources_of_job(found, "cuda", 10, GB) == JobResources(2, 2, GB)
    assert resources_of_job(found, "cuda", 3, GB) == JobResources(4, 1, GB)


def test_a_job_takes_no_more_memory_than_the_largest_node_has():
    assert resources_of_job([node(memory=3e9), node(memory=5e9)], "cpu", 1, 8 * GB).memory == 5 * GB


def test_the_estimate_of_memory_grows_with_the_data_set(tmp_path):
    folders = Folders(tmp_path, tmp_path, False)
    small, none = estimate_memory([DummyJob("a")], folders), estimate_memory([], folders)
    assert small > none > 0.5 * GB


@pytest.fixture
def installed():
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed; it is the extra [ray]")


@pytest.fixture
def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("address", ["somewhere", "ray://host:10001", "host:99999", ":6379"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match=f"--ray-address {address}: give HOST:PORT"):
        connect(address)


@pytest.mark.usefixtures("installed")
def test_an_address_at_which_nothing_listens_is_refused(closed_port):
    with pytest.raises(UsageError, match=r"no Ray cluster answers there: Connection refused\."):
        connect(f"127.0.0.1:{closed_port}")


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_what_listens_and_is_no_cluster_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_SECONDS", 3.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(UsageError, match="no Ray cluster answers there: no answer within 3 s"),
    ):
        connect(f"127.0.0.1:{server.getsockname()[1]}")


def test_the_cluster_of_this_machine_is_found_while_it_runs(tmp_path, monkeypatch, closed_port):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert ray_cluster._running_here() is None
    file = tmp_path / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text(f"127.0.0.1:{closed_port}\n")
    assert ray_cluster._running_here() is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        file.write_text(address)
        assert ray_cluster._running_here() == address


@pytest.mark.usefixtures("installed")
def test_devices_are_checked_before_the_cluster_is_asked(monkeypatch):
    with pytest.raises(UsageError, match="Ray chooses the GPU of each job; use --device cuda"):
        choose_device("cuda:1", None, dry=False)
    assert choose_device("cuda", None, dry=True) == "cuda"
    assert choose_device("auto", None, dry=True) == "cpu"
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
