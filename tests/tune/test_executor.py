from __future__ import annotations

import pickle

from mlopt.tune.executor import Call, Done


def test_calls_and_what_became_of_them_travel() -> None:
    call = Call("race", ([("trial 1", {"passes.fuse": True}, {"threads": 2})],), alone=True)
    done = Done(call, {"trial 1": {"latency_ms": 1.0}}, node="here", began=1.0, ended=2.0)
    assert pickle.loads(pickle.dumps(done)) == done
