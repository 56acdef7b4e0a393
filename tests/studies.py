"""A study to render: six variants, three seeds, Korean and English, all of it invented."""

from dataclasses import replace
from random import Random

from asrbench.analysis.findings import Findings, Lengths, analyse
from asrbench.report.study import (
    CorpusId,
    Curve,
    DevSet,
    GradientNorms,
    RunEnvironment,
    SpecText,
    Study,
    StudyRun,
    StudySystem,
    SystemCost,
)
from asrbench.stats.bootstrap import Difference, Interval, Scope
from asrbench.stats.exact import McNemar, Permutation
from asrbench.stats.mapsswe import Mapsswe
from asrbench.stats.power import Estimate, SampleSize
from asrbench.stats.record import PairTests
from asrbench.stats.variance import Variance
from asrbench.stats.verdicts import Judgement, Verdict

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
    "ds2_selfattn": Verdict.BETTER,
    "ds2_posattn": Verdict.NO_EVIDENCE,
    "ds2_twattn": Verdict.WORSE,
    "ds2_crossattn joint": Verdict.NOT_COMPARABLE,
    "ds2_selfattn_deck": Verdict.NOT_TRAINED,
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
    found = []
    for symbol in reference:
        draw = random.random() / rate
        if draw < 0.5:
            found.append(random.choice("가나다라XYZ"))
        elif draw >= 0.75:
            found.append(symbol)
        if 0.75 <= draw < 0.95:
            found.append(random.choice(" 이O"))
    return "".join(found)


def study(utterances: int = 40, variants: int | None = None, most: int = 10) -> Study:
    """A study of so many utterances; `variants` repeats the six as often as asked.

    Verdicts and rates are set, so that each verdict occurs; the findings are those of
    `asrbench.analysis` in hypotheses garbled at those rates.
    """
    random = Random(0)
    names = list(VARIANTS)
    labels = [
        names[i] if i < len(names) else f"{names[i % len(names)]}_{i // len(names)}"
        for i in range(variants or len(names))
    ]
    systems = [_system(label, names[i % len(names)], random) for i, label in enumerate(labels)]
    references = [SENTENCES[i % len(SENTENCES)] for i in range(utterances)]
    findings = analyse(
        [f"utterance-{i:04d}" for i in range(utterances)],
        references,
        {
            system.label: [
                [garbled(text, system.cer, random) for text in references] for _ in system.runs
            ]
            for system in systems
        },
        "ds2",
        durations_s=[0.11 * len(text) + 0.01 * random.random() for text in references],
        speakers=[f"F0{i % 5}" for i in range(utterances)],
        in_train=[i % 4 == 0 for i in range(utterances)],
        replicates=200,
        most=most,
    )
    runs = [(run, system) for system in systems for run in system.runs]
    return Study(
        profile="verbatim/1",
        unit="character",
        utterances=utterances,
        n=sum(map(len, references)),
        speakers=5,
        replicates=10_000,
        baseline="ds2",
        systems=tuple(systems),
        family=sum(system.difference is not None for system in systems),
        margin=None,
        critical=None,
        statement="Two of three comparable variants differ from ds2 at 5 % over the family",
        title="test of invented (e9d3f6da), 40 utterances, N = 812 characters",
        experiment="ablation",
        split="test",
        profile_words="NFC, spaces and punctuation counted",
        corpus=CorpusId("invented", "e9d3f6dab0796c7e"),
        dev=DevSet("verbatim/1", 1_950),
        seeds=SEEDS,
        not_comparable=(),
        findings=findings,
        legend=("CER: edits over reference characters.", "diff: CER points, minus ds2."),
        notes=("runs come from different commits: 92fd84b, e499a5f",),
        environments=tuple(
            RunEnvironment(run.run, {"device_name": "H200", "torch": "2.11.0", "commit": "92fd84b"})
            for run, _ in runs
        ),
        specs=tuple(
            SpecText(run.run, f"seed: {run.seed}\nmodel:\n  name: {system.label}\n")
            for run, system in runs
        ),
        commands=("asrbench train experiments/ablation.yaml", "asrbench compare results/a"),
    )


def without_lengths(findings: Findings) -> Findings:
    """The findings of a study whose utterances are too few for bins."""
    empty = replace(findings.lengths.reference_length, bins=(), interactions={})
    return replace(findings, lengths=Lengths(None, empty))


def _system(label: str, like: str, random: Random) -> StudySystem:
    cer, millions, ratio = VARIANTS[like]
    cer *= random.uniform(0.97, 1.03)
    verdict = VERDICTS[like] if label != "ds2" else None
    failure = "CER is 90 % or more" if cer > 0.9 else None
    delta = cer - VARIANTS["ds2"][0]
    compared = verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.NO_EVIDENCE)
    return StudySystem(
        label=label,
        is_control=False,
        trained=failure is None,
        rate=cer,
        cer=cer,
        wer=2.4 * cer,
        swer=2.1 * cer,
        jer=0.7 * cer,
        interval=Interval(cer - 0.012, cer + 0.012),
        spread=0.04 * cer,
        substitutions=1_200,
        deletions=360,
        insertions=180,
        n=2_436,
        runs=tuple(_run(label, seed, cer * (1 + 0.04 * (seed - 1)), failure) for seed in SEEDS),
        difference=_difference(delta) if compared else None,
        tests=_tests() if compared else None,
        judgement=None if verdict is None else _judgement(verdict, delta),
        variant=label.split()[0],
        split="test",
        decode="joint" if "joint" in label else "greedy",
        profile="verbatim/1",
        shared_seeds=SEEDS,
        cost=SystemCost(
            parameters=int(1e6 * millions),
            step_seconds=0.21 * ratio,
            step_ratio=ratio,
            memory_gb=3.1 * ratio,
            real_time_factor=0.004 * ratio,
            decoding_memory_gb=0.9 * ratio,
            flops_per_audio_second=1.1e9 * millions,
        ),
        curves=tuple(
            Curve(
                seed,
                tuple(range(1, 21)),
                tuple(cer + (1 - cer) * 0.75 ** (e + 0.4 * seed) for e in range(20)),
                tuple(5 * 0.8**e for e in range(20)),
            )
            for seed in SEEDS
        ),
        gradient_norms=tuple(
            GradientNorms(
                seed,
                {
                    "recurrence.0": tuple(random.uniform(0.5, 0.9) for _ in range(20)),
                    "recurrence.1": (1.0,) * 20,
                },
            )
            for seed in SEEDS
        ),
    )


def _run(label: str, seed: int, cer: float, failure: str | None) -> StudyRun:
    return StudyRun(
        rate=cer,
        cer=cer,
        wer=2.4 * cer,
        swer=2.1 * cer,
        jer=0.7 * cer,
        substitutions=400,
        deletions=120,
        insertions=60,
        n=812,
        failure=failure,
        seed=seed,
        run=f"results/ablation/{label.split()[0]}/seed{seed}-4fbc2f11",
        step_seconds=0.21,
        decoded_by={"commit": "e499a5f"} if seed == 0 else None,
    )


def _difference(delta: float) -> Difference:
    return Difference(
        delta=delta,
        interval=Interval(delta - 0.008, delta + 0.008),
        relative=delta / VARIANTS["ds2"][0],
        improvement_probability=0.98 if delta < 0 else 0.02,
        p=0.0004,
        utterances_differing=31,
        scope=Scope.TRAINING,
        variance=Variance(1.6e-5, 5, ()),
    )


def _tests() -> PairTests:
    test = Mapsswe(-4.2, 2.6e-5, 211, -0.4, 1.4)
    return PairTests(test, test, Permutation(0.0011, 0.0001, "speakers"), McNemar(20, 8, 0.02))


def _judgement(verdict: Verdict, delta: float) -> Judgement:
    figures = f"{100 * delta:+.2f} points ({100 * delta - 0.8:+.2f} to {100 * delta + 0.8:+.2f})"
    if verdict is Verdict.NOT_TRAINED:
        return Judgement(verdict, "seeds 0, 1, 2: CER is 90 % or more")
    if verdict is Verdict.NOT_COMPARABLE:
        return Judgement(verdict, "another order of batches: train.batch_seconds is 32, not 64")
    shown = verdict is not Verdict.NO_EVIDENCE
    return Judgement(
        verdict,
        f"{figures}, p < 0.001, p = 0.001 after Holm over 3 variants",
        Scope.TRAINING,
        holm_p=0.0012,
        smallest_difference=Estimate(0.011, 0.008, 0.019),
        needed=None if shown else SampleSize(Estimate(9, 5, 21), Estimate(12_400, 8_100, 24_000)),
    )
