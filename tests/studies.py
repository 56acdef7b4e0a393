"""A study document to render: six variants, three seeds, Korean and English, all of it invented."""

from random import Random
from typing import Any

from asrbench.analysis.findings import find

VARIANTS = {
    "ds2": (0.092, 3.34, 1.0),
    "ds2_selfattn": (0.071, 4.92, 1.49),
    "ds2_posattn": (0.088, 4.93, 1.31),
    "ds2_twattn": (0.116, 4.92, 1.50),
    "ds2_crossattn joint": (0.090, 4.27, 1.21),
    "ds2_selfattn_deck": (0.969, 6.49, 1.47),
}
"""CER, parameters in millions, step time in times that of the baseline."""

VERDICTS = {
    "ds2": None,
    "ds2_selfattn": "better",
    "ds2_posattn": "no evidence of a difference",
    "ds2_twattn": "worse",
    "ds2_crossattn joint": "not comparable",
    "ds2_selfattn_deck": "not trained",
}

SENTENCES = (
    "어제 밤에 비가 많이 와서 길이 미끄러웠어",
    "그 사람은 아직도 회사에 다니고 있는 거야",
    "ENTER TWO NINE EIGHT ONE",
    "나는 주말마다 산에 올라가는 걸 좋아해",
    "REPEAT RUBOUT U B U T R SIX",
    "다음 달에 이사를 가야 해서 짐을 싸고 있어",
    '<script>window.broken = true</script> & "quoted" <b>bold</b>',
    "응 그러니까 내 말은 그게 아니라 처음부터 다시 해보자는 거지 뭐 어쩔 수 없잖아 벌써 시작했는데",
)

SEEDS = (0, 1, 2)


def garbled(reference: str, rate: float, random: Random) -> str:
    """`reference` with errors of every kind."""
    heard = []
    for symbol in reference:
        draw = random.random() / rate
        if draw < 0.5:
            heard.append(random.choice("가나다라XYZ"))
        elif draw >= 0.75:
            heard.append(symbol)
        if 0.75 <= draw < 0.95:
            heard.append(random.choice(" 이O"))
    return "".join(heard)


def study(utterances: int = 40, variants: int | None = None, most: int = 10) -> dict[str, Any]:
    """The document of so many utterances; `variants` repeats the six as often as asked.

    Verdicts and rates are set, so that each kind of verdict is there; what differs where is what
    `asrbench.analysis` finds in hypotheses garbled at those rates.
    """
    random = Random(0)
    names = list(VARIANTS)
    labels = [
        names[i] if i < len(names) else f"{names[i % len(names)]}_{i // len(names)}"
        for i in range(variants or len(names))
    ]
    systems = [_system(label, names[i % len(names)], random) for i, label in enumerate(labels)]
    said = [SENTENCES[i % len(SENTENCES)] for i in range(utterances)]
    found = find(
        [f"utterance-{i:04d}" for i in range(utterances)],
        said,
        {
            system["label"]: [
                [garbled(text, system["cer"], random) for text in said] for _ in system["runs"]
            ]
            for system in systems
        },
        "ds2",
        durations_s=[0.11 * len(text) + 0.01 * random.random() for text in said],
        speakers=[f"F0{i % 5}" for i in range(utterances)],
        replicates=200,
        most=most,
    ).plain()
    return {
        "format": 1,
        "title": "test of invented (e9d3f6da), 40 utterances, N = 812 characters",
        "experiment": "ablation",
        "split": "test",
        "unit": "character",
        "profile": "verbatim/1",
        "profile_words": "NFC, spaces and punctuation counted",
        "corpus": {"name": "invented", "fingerprint": "e9d3f6dab0796c7e"},
        "utterances": utterances,
        "n": sum(map(len, said)),
        "speakers": 5,
        "dev": {"profile": "verbatim/1", "n": 1_950},
        "seeds": list(SEEDS),
        "baseline": "ds2",
        "replicates": 10_000,
        "statement": "Two of three comparable variants differ from ds2 at 5 % over the family.",
        "legend": ["CER: edits over reference characters.", "diff: CER points, minus ds2."],
        "notes": ["runs come from different commits: 92fd84b, e499a5f"],
        "systems": systems,
        "apart": [],
        **found,
        "environments": [
            {"run": run["run"], "device_name": "H200", "torch": "2.11.0", "commit": "92fd84b"}
            for system in systems
            for run in system["runs"]
        ],
        "specs": [
            {"run": run["run"], "yaml": f"seed: {run['seed']}\nmodel:\n  name: {system['label']}\n"}
            for system in systems
            for run in system["runs"]
        ],
        "commands": ["asrbench train experiments/ablation.yaml", "asrbench compare results/a"],
    }


def _system(label: str, like: str, random: Random) -> dict[str, Any]:
    cer, millions, ratio = VARIANTS[like]
    cer *= random.uniform(0.97, 1.03)
    verdict = VERDICTS[like] if label != "ds2" else None
    failure = "CER is 90 % or more" if cer > 0.9 else None
    runs = [
        {
            "seed": seed,
            "run": f"results/ablation/{label.split()[0]}/seed{seed}-4fbc2f11",
            **dict.fromkeys(("rate", "cer"), cer * (1 + 0.04 * (seed - 1))),
            "wer": 2.4 * cer,
            "swer": 2.1 * cer,
            "jer": 0.7 * cer,
            "substitutions": 400,
            "deletions": 120,
            "insertions": 60,
            "failure": failure,
        }
        for seed in SEEDS
    ]
    delta = cer - VARIANTS["ds2"][0]
    compared = verdict in ("better", "worse", "no evidence of a difference")
    test = {"z": -4.2, "p": 2.6e-5, "segments": 211}
    difference = {
        "delta": delta,
        "interval": [delta - 0.008, delta + 0.008],
        "relative": delta / VARIANTS["ds2"][0],
        "improvement_probability": 0.98 if delta < 0 else 0.02,
        "p": 0.0004,
        "holm_p": 0.0012,
        "permutation_p": 0.0011,
        "mcnemar_p": 0.02,
        "mapsswe": {"word": test, "character": test},
        "smallest_difference": 0.011,
        "more_seeds": None if verdict != "no evidence of a difference" else 9,
        "more_utterances": None if verdict != "no evidence of a difference" else 12_400,
        "seeds": list(SEEDS),
    }
    return {
        "label": label,
        "variant": label.split()[0],
        "decode": "joint" if "joint" in label else "greedy",
        "trained": failure is None,
        "rate": cer,
        "cer": cer,
        "wer": 2.4 * cer,
        "interval": [cer - 0.012, cer + 0.012],
        "spread": 0.04 * cer,
        "substitutions": 1_200,
        "deletions": 360,
        "insertions": 180,
        "runs": runs,
        "cost": {
            "parameters": int(1e6 * millions),
            "flops_per_audio_second": 1.1e9 * millions,
            "step_seconds": 0.21 * ratio,
            "step_ratio": ratio,
            "memory_gb": 3.1 * ratio,
            "real_time_factor": 0.004 * ratio,
        },
        "difference": difference if compared else None,
        "verdict": verdict,
        "reason": _reason(verdict, delta),
        "curves": [
            {
                "seed": seed,
                "epoch": list(range(1, 21)),
                "dev_cer": [cer + (1 - cer) * 0.75 ** (e + 0.4 * seed) for e in range(20)],
                "loss": [5 * 0.8**e for e in range(20)],
            }
            for seed in SEEDS
        ],
        "gradient_norms": [
            {
                "seed": seed,
                "layers": {
                    "recurrence.0": [random.uniform(0.5, 0.9) for _ in range(20)],
                    "recurrence.1": [1.0] * 20,
                },
            }
            for seed in SEEDS
        ],
    }


def _reason(verdict: str | None, delta: float) -> str:
    return {
        None: "",
        "not trained": "seeds 0, 1, 2: CER is 90 % or more",
        "not comparable": "another order of batches: train.batch_seconds is 32, not 64",
        "no evidence of a difference": (
            f"{100 * delta:+.2f} points (-1.20 to +0.41), p = 0.310, p = 0.620 after Holm over 3 "
            "variants; 1.10 could have been shown; one of the size seen would take about 9 seeds "
            "each or 12,400 utterances"
        ),
    }.get(
        verdict,
        f"{100 * delta:+.2f} points ({100 * delta - 0.8:+.2f} to {100 * delta + 0.8:+.2f}), "
        "p < 0.001, p = 0.001 after Holm over 3 variants",
    )
