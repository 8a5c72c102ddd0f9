"""A process of a load, as `stator.bench.worker`, that knows the peers' doors as well."""

from stator.bench.worker import LOADS, main

from tests.benchmarks.etcd_load import EtcdLoad

LOADS["etcd"] = EtcdLoad

if __name__ == "__main__":
    main()
