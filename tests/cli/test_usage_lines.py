from benchmark.cli.usage_lines import UsageLines
from benchmark.records.usage import Usage


def test_a_line_for_each_device_with_peaks_and_means():
    used = UsageLines()
    used.add(None, 5.0)
    used.add(Usage(device="cpu", peak_memory=600_000_000, cpu_utilization=100.0), 3.0)
    used.add(Usage(device="cpu", peak_memory=200_000_000, cpu_utilization=20.0), 1.0)
    used.add(
        Usage(
            device="cuda:1",
            peak_memory=2_000_000_000,
            peak_gpu_memory=3_400_000_000,
            cpu_utilization=90.0,
            gpu_utilization=45.0,
        ),
        1.0,
    )
    assert list(used.lines()) == [
        "Used on cpu: 600 MB of memory in a worker, at most; a worker's processor 80 % busy.",
        "Used on cuda:1: 2.0 GB of memory in a worker, at most; 3.4 GB of tensors on the GPU; GPU 45 % busy; "
        "a worker's processor 90 % busy.",
    ]


def test_records_of_older_versions_have_no_line():
    used = UsageLines()
    used.add(None, 5.0)
    assert list(used.lines()) == []
