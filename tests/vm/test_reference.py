"""A whole training step by interpreter against the same step written in NumPy."""

from __future__ import annotations

import numpy as np

from runtime.vm.check import check_job, check_program
from runtime.vm.reference import evaluate_step, load_from
from runtime.vm.shuffle import sample_index
from tests.vm import numeric as ref
from tests.vm.numeric import F
from tests.vm.programs import classifier, classifier_job

CHECKED = check_program(classifier())
JOB = classifier_job(CHECKED)


def test_a_training_step_equals_its_definition() -> None:
    generator = np.random.default_rng(1)
    bias, bias_momentum = generator.standard_normal((2, 4)).astype(F)
    weight, weight_momentum = generator.standard_normal((2, 5, 4)).astype(F)
    scalars = np.array([[0, 0.1], [0, 0.05], [0, 0.025], [0, 0.5]], F)
    pixels = generator.integers(0, 256, (7, 5), dtype=np.uint8)
    labels = generator.integers(0, 4, 7, dtype=np.int32)
    step = 2

    def sample(leaf: int) -> tuple[bytes, str]:
        index, field = divmod(leaf, 3)
        return (labels[index].tobytes(), "i32") if field == 1 else (pixels[index].tobytes(), "u8")

    check_job(CHECKED, JOB)
    state = [array.tobytes() for array in (bias, bias_momentum, weight, weight_momentum)]
    values = evaluate_step(CHECKED, JOB, step, load_from(state, ["f32"] * 4, scalars.tobytes(), sample))

    chosen = [sample_index(JOB.data, step * 3 + row) for row in range(3)]
    x, label, rate = pixels[chosen].astype(F), labels[chosen], scalars[step, 1]
    logits = ref.matmul32(x, weight) + bias
    _, _, logp = ref.log_softmax32(logits)
    loss = ref.lane_sum32([-logp[row, label[row]] for row in range(3)])
    grad = np.where(np.arange(4) == label[:, None], F(-1), F(0))
    totals = np.array([ref.lane_sum32(row) for row in grad])
    softmax = np.array([[ref.exp32(v) for v in row] for row in logp])
    grad = grad - softmax * totals[:, None]
    momentum, decay = F(0.9), F(0.001)
    decayed = ref.column_sum32(grad) + decay * bias
    bias_momentum = momentum * bias_momentum + decayed
    bias = bias - rate * bias_momentum
    decayed = ref.matmul32(x.T, grad) + decay * weight
    weight_momentum = momentum * weight_momentum + decayed
    weight = weight - rate * (decayed + momentum * weight_momentum)

    state_after = {name: values[value] for name, value, _ in CHECKED.state}
    assert values[15] == np.array([loss]).tobytes()
    assert state_after["bias"] == bias.tobytes()
    assert state_after["bias.momentum"] == bias_momentum.tobytes()
    assert state_after["weight"] == weight.tobytes()
    assert state_after["weight.momentum"] == weight_momentum.tobytes()
    words = [ref.philox_reference([0, 0, 13, step], [0x89ABCDEF, 0x01234567])[e] for e in range(3)]
    assert values[26] == (np.array([word >> 8 for word in words]).astype(F) * F(2.0**-24)).tobytes()
    assert [len(data) for data in values] == [tensor.bytes for tensor in CHECKED.values]
