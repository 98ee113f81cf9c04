"""Whole campaigns of athena, by the public way in, at a site of our own making."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvmpi.session import MARK

from ..conftest import Answer, Place, RunOnDisk, clean_environment
from .campaigns import CONFIGS, config, tag
from .site import Call, StandIn, write_pool

LEAKS = ("PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "OMPI_X", "PMIX_X")
WHOLE = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "PATH", "TMPDIR", "HVMPI_STEP")
OF_THE_SHELL = (MARK, "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE")
OF_THE_RELEASE = (
    *("ATLAS_LOCAL_ROOT_BASE", "ATLAS_LOCAL_ROOT", "AtlasSetup", "AtlasVersion"),
    *("STANDIN_RELEASE", "STANDIN_TREE", "PYTHONPATH", "LD_LIBRARY_PATH"),
)


@dataclass(frozen=True)
class Campaign:
    """A campaign that is over."""

    place: Place
    standin: StandIn
    answer: Answer

    @property
    def run(self) -> RunOnDisk:
        return self.place.run()

    def calls(self, step: str) -> list[Call]:
        """Give the calls of a step, in the order of their jobs."""
        calls = [call for call in self.standin.calls() if call.environment["HVMPI_STEP"] == step]
        return sorted(calls, key=lambda call: call.directory)

    def numbers(self, product: str, name: str) -> list[int]:
        return numbers(self.run.directory / product / name)


def numbers(path: Path) -> list[int]:
    """Read the event numbers of a file."""
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        return [int(n) for n in file["CollectionTree"]["EventInfoAux.eventNumber"].array()]


def of(calls: list[Call], *names: str) -> list[tuple[str, ...]]:
    """Give the values of arguments that take one each."""
    return [tuple(call.argument(name)[0] for name in names) for call in calls]


def shipped(name: str, root: Path, templates: Path, **changes: Any) -> Campaign:
    """Run the campaign of a shipped config with another size, in an environment full of leaks."""
    place, standin = Place(root, clean_environment()), StandIn(root / "site", templates)
    standin.release("23.6.26")
    values = tomllib.loads((CONFIGS / f"{name}.toml").read_text())
    values |= {"num-batches": 2, "batch-size": 6, "job-size": 4, **changes}
    values["site"] |= standin.site()
    path = root / f"{name}.toml"
    # The shipped tags are found though they are not beside it.
    path.write_text(tomli_w.dumps(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for leak in LEAKS:
            patch.setenv(leak, "/somewhere/else")
        answer = place.hvmpi("run", "-c", path)
    assert answer.code == 0, answer.out + answer.err
    return Campaign(place, standin, answer)


@pytest.fixture(scope="module")
def mc15(tmp_path_factory: pytest.TempPathFactory, templates: Path) -> Iterator[Campaign]:
    root = tmp_path_factory.mktemp("mc15")
    (root / "hss-runner.py").write_text("# job options of the site\n")
    campaign = shipped("mc15_whss", root, templates, keep=["evnt", "hits", "aod", "daod"])
    yield campaign
    campaign.standin.end()


@pytest.fixture(scope="module")
def mc23(tmp_path_factory: pytest.TempPathFactory, templates: Path) -> Iterator[Campaign]:
    campaign = shipped("mc23_hss", tmp_path_factory.mktemp("mc23"), templates)
    yield campaign
    campaign.standin.end()


# The first users' chain

STEMS = ("304795.6.1.4.0", "304795.6.1.4.4", "304795.6.2.4.0", "304795.6.2.4.4")
EVENTS = ([1, 2, 3, 4], [5, 6], [7, 8, 9, 10], [11, 12])

VALUES = {
    "s2608": {
        "physicsList": ["FTFP_BERT"],
        "truthStrategy": ["MC12"],
        "simulator": ["MC12G4"],
        "DBRelease": ["default:current"],
        "conditionsTag": ["default:OFLCOND-RUN12-SDR-19"],
        "preInclude": [
            "EVNTtoHITS:SimulationJobOptions/preInclude.BeamPipeKill.py,"
            "SimulationJobOptions/preInclude.FrozenShowersFCalOnly.py"
        ],
        "geometryVersion": ["default:ATLAS-R2-2015-03-01-00_VALIDATION"],
        "postInclude": ["default:PyJobTransforms/UseFrontier.py"],
    },
    "r7773": {
        "digiSteeringConf": ["StandardSignalOnlyTruth"],
        "conditionsTag": ["default:OFLCOND-MC15c-SDR-09"],
        "ignorePatterns": ["Py:TrigConf2COOLLib.py.+ERROR.===================================+"],
        "pileupFinalBunch": ["6"],
        "numberOfHighPtMinBias": ["0.12268057"],
        "autoConfiguration": ["everything"],
        "postInclude": ["default:RecJobTransforms/UseFrontier.py"],
        "numberOfLowPtMinBias": ["39.8773194"],
        "steering": ["doRDO_TRIG"],
        "preInclude": [
            "HITtoRDO:Digitization/ForceUseOfPileUpTools.py,"
            "SimulationJobOptions/preInclude.PileUpBunchTrainsMC15_2015_25ns_Config1.py,"
            "RunDependentSimData/configLumi_run284500_v3.py",
            "RDOtoRDOTrigger:RecExPers/RecoOutputMetadataList_jobOptions.py",
        ],
        "postExec": [
            'all:CfgMgr.MessageSvc().setError+=["HepMcParticleLink"]',
            'ESDtoAOD:fixedAttrib=[s if "CONTAINER_SPLITLEVEL = \'99\'" not in s else "" for s '
            "in svcMgr.AthenaPoolCnvSvc.PoolAttributes];"
            "svcMgr.AthenaPoolCnvSvc.PoolAttributes=fixedAttrib",
        ],
        "preExec": [
            "all:rec.Commissioning.set_Value_and_Lock(True);"
            "from AthenaCommon.BeamFlags import jobproperties;"
            "jobproperties.Beam.numberOfCollisions.set_Value_and_Lock(20.0);"
            "from LArROD.LArRODFlags import larRODFlags;"
            "larRODFlags.NumberOfCollisions.set_Value_and_Lock(20);"
            "larRODFlags.nSamples.set_Value_and_Lock(4);"
            "larRODFlags.doOFCPileupOptimization.set_Value_and_Lock(True);"
            "larRODFlags.firstSample.set_Value_and_Lock(0);"
            "larRODFlags.useHighestGainAutoCorr.set_Value_and_Lock(True)",
            "RAWtoESD:from CaloRec.CaloCellFlags import jobproperties;"
            "jobproperties.CaloCellFlags.doLArCellEmMisCalib=False",
            'ESDtoAOD:TriggerFlags.AODEDMSet="AODSLIM"',
        ],
        "triggerConfig": ["RDOtoRDOTrigger=MCRECO:DBF:TRIGGERDBMC:2046,20,56"],
        "geometryVersion": ["default:ATLAS-R2-2015-03-01-00"],
        "numberOfCavernBkg": ["0"],
    },
    "p2952": {
        "reductionConf": ["EXOT15"],
        "passThrough": ["True"],
        "athenaMPMergeTargetSize": ["DAOD_*:0"],
        "preExec": [
            "default:from BTagging.BTaggingFlags import BTaggingFlags;"
            'BTaggingFlags.CalibrationTag = "BTagCalibRUN12-08-18"'
        ],
    },
}
"""What the first users' scripts gave to the transforms; jobNumber differs from job to job now."""


@pytest.mark.parametrize("step", VALUES)
def test_every_value_of_the_first_users_tags_arrives_byte_for_byte(
    mc15: Campaign, step: str
) -> None:
    calls = mc15.calls(step)
    assert len(calls) == 4
    for call in calls:
        assert {name: call.argument(name) for name in VALUES[step]} == VALUES[step]
        given = [word.partition("=")[0] for word in call.argv if word.startswith("--")]
        assert len(set(given)) == len(given)
        ours = {name[2:] for name in given} - VALUES[step].keys()
        assert ours <= {
            *("inputEVNTFile", "inputHITSFile", "inputAODFile"),
            *("outputHITSFile", "outputAODFile", "outputDAODFile"),
            *("skipEvents", "maxEvents", "jobNumber", "digiSeedOffset1", "digiSeedOffset2"),
        }


def test_batches_have_their_own_events_and_seeds(mc15: Campaign) -> None:
    calls = mc15.calls("mc15_gen")
    assert of(calls, "firstEvent", "maxEvents", "runNumber", "ecmEnergy", "jobConfig") == [
        ("1", "6", "304795", "13000", "hss-runner.py"),
        ("7", "6", "304795", "13000", "hss-runner.py"),
    ]
    seeds = {int(call.argument("randomSeed")[0]) for call in calls}
    assert len(seeds) == 2
    assert all(0 <= seed < 30081**2 for seed in seeds)
    assert mc15.numbers("evnt", "304795.6.2.evnt.pool.root") == list(range(7, 13))


def test_only_the_first_step_of_a_job_is_told_which_events(mc15: Campaign) -> None:
    assert of(mc15.calls("s2608"), "skipEvents", "maxEvents") == [("0", "4"), ("4", "2")] * 2
    for call in (*mc15.calls("r7773"), *mc15.calls("p2952")):
        assert not call.argument("skipEvents")
        assert not call.argument("maxEvents")
        assert not call.argument("firstEvent")


def test_every_job_has_its_own_random_streams(mc15: Campaign) -> None:
    streams = of(mc15.calls("r7773"), "jobNumber", "digiSeedOffset1", "digiSeedOffset2")
    assert len(set(streams)) == 4
    assert all(a == b == c and int(a) >= 1 for a, b, c in streams)


def test_every_event_is_in_one_product_of_its_jobs_own_name(mc15: Campaign) -> None:
    daods = [f"DAOD_EXOT15.{stem}.pool.root" for stem in STEMS]
    aods = [f"{stem}.aod.pool.root" for stem in STEMS]
    assert mc15.run.files("aod") == sorted([*daods, *aods])
    assert mc15.run.files("hits") == [f"{stem}.HITS.pool.root" for stem in STEMS]
    for names in (aods, daods):
        assert tuple(mc15.numbers("aod", name) for name in names) == EVENTS
    for kind in ("aod", "daod"):
        assert f"\n{kind}: 4 files" in mc15.answer.out
    modes = {path.stat().st_mode for path in (mc15.run.directory / "aod").iterdir()}
    assert {stat.S_IMODE(mode) for mode in modes} == {0o444}


def test_steps_have_directories_and_shells_of_their_own(mc15: Campaign) -> None:
    calls = mc15.standin.calls()
    assert len(calls) == 2 + 4 * 3
    assert len({call.directory for call in calls}) == len(calls)
    assert len({call.session for call in calls}) == len(calls)
    assert all(call.session == call.group for call in calls)
    assert all(call.directory.name == call.environment["HVMPI_STEP"] for call in calls)
    assert not (mc15.run.directory / "tmp").exists() or not list(
        (mc15.run.directory / "tmp").rglob("*")
    )


def test_steps_have_their_tags_releases(mc15: Campaign) -> None:
    releases = {
        "mc15_gen": "19.2.4.14",
        "s2608": "19.2.3.7",
        "r7773": "20.7.5.1.1",
        "p2952": "20.7.8.7",
    }
    for step, release in releases.items():
        assert {call.environment["AtlasVersion"] for call in mc15.calls(step)} == {release}
    asked = {"19.2.4.14", *(f"Atlas{n}" for n in ("Production,19.2.3.7", "Prod1,20.7.5.1.1"))}
    assert set(mc15.standin.setups()) == {*asked, "AtlasDerivation,20.7.8.7"}


def test_nothing_leaks_into_the_environment_of_a_step(mc15: Campaign) -> None:
    for call in mc15.standin.calls():
        assert "/somewhere/else" not in call.environment.values()
        assert call.environment.keys() <= {*WHOLE, *OF_THE_SHELL, *OF_THE_RELEASE}
        assert call.environment["TMPDIR"] == str(call.directory)


def test_a_campaign_is_as_its_journal_says(mc15: Campaign) -> None:
    verified = mc15.place.hvmpi("verify", "--run-dir", mc15.place.run_dir)
    assert verified.code == 0, verified.out
    assert "as the journal says" in verified.out


# The modern chain


def test_the_modern_chain_publishes_both_formats(mc23: Campaign) -> None:
    formats = [f"DAOD_{one}.{stem}.pool.root" for one in ("LLP1", "PHYS") for stem in STEMS]
    aods = [f"{stem}.aod.pool.root" for stem in STEMS]
    assert mc23.run.files("aod") == sorted([*formats, *aods])
    assert tuple(mc23.numbers("aod", name) for name in formats) == EVENTS * 2
    assert not (mc23.run.directory / "hits").exists()


def test_the_modern_chain_is_told_what_it_needs(mc23: Campaign) -> None:
    generation = of(mc23.calls("mc23_gen"), "jobConfig", "firstEvent", "maxEvents", "ecmEnergy")
    assert generation == [("304795", "1", "6", "13600"), ("304795", "7", "6", "13600")]
    assert len(set(of(mc23.calls("mc23_gen"), "randomSeed"))) == 2
    simulation = mc23.calls("mc23a_fast")
    assert of(simulation, "skipEvents", "maxEvents", "imf") == [
        ("0", "4", "False"),
        ("4", "2", "False"),
        ("0", "4", "False"),
        ("4", "2", "False"),
    ]
    assert all("--CA" in call.argv for call in simulation)
    streams = of(mc23.calls("mc23_reco"), "jobNumber", "digiSeedOffset1", "digiSeedOffset2")
    assert len(set(streams)) == 4
    assert of(simulation, "jobNumber") == [stream[:1] for stream in streams]
    for call in mc23.calls("mc23_deriv"):
        assert call.argument("formats") == ["PHYS", "LLP1"]
        assert call.argument("maxEvents") == ["-1"]


def test_the_modern_campaign_is_as_its_journal_says(mc23: Campaign) -> None:
    assert mc23.place.hvmpi("verify", "--run-dir", mc23.place.run_dir).code == 0


def test_a_derivation_may_filter_one_format_and_not_the_other(
    place: Place, standin: StandIn
) -> None:
    chosen = config(
        place,
        standin,
        ["mc23a_fast", "mc23_reco", "mc23_deriv"],
        job_size=5,
        keep=["daod"],
        max_attempts=1,
    )
    standin.evnt(place.root / "evnt", 10)
    standin.misbehave({"filter": 4}, transform="Derivation_tf.py")
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 0, answer.out
    run = place.run()
    kept = {name: len(numbers(run.directory / "aod" / name)) for name in run.files("aod")}
    assert sorted(kept.values()) == [1, 1, 5, 5]
    assert all(name.startswith("DAOD_PHYS") for name, events in kept.items() if events == 5)
    assert place.hvmpi("verify").code == 0


def test_a_simulation_may_lose_an_event_and_the_rest_is_published(
    place: Place, standin: StandIn
) -> None:
    chosen = config(place, standin, ["s2608", "r7773"], job_size=10, keep=["aod"])
    standin.evnt(place.root / "evnt", 10)
    standin.misbehave({"lost": 1}, transform="Sim_tf.py")
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 0, answer.out
    (job,) = place.run().status().jobs
    assert job["events_out"] == 9
    verified = place.hvmpi("verify")
    assert verified.code == 0, verified.out


# Runs taken up again, and jobs by hand


@pytest.mark.parametrize("change", ["deleted", "changed"])
def test_a_run_is_taken_up_again_with_its_own_tags(
    place: Place, standin: StandIn, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    mine = tag(place, "mine", arguments={"jobNumber": "{job}", "postExec": "a = '{{job}}'"})
    chosen = config(place, standin, [mine], job_size=2, keep=["hits"])
    standin.evnt(place.root / "evnt", 4)
    standin.misbehave({"early": 4}, job_number=2)
    assert place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt").code == 1
    standin.behave()
    if change == "deleted":
        (place.root / "tags/mine.toml").unlink()
        chosen.unlink()
    else:
        tag(place, mine, arguments={"jobNumber": "99"}, release="Athena,24.0.30")
        chosen.write_text("engine = 'athena'\ntags = ['other']\n")
    (place.root / "elsewhere").mkdir()
    monkeypatch.chdir(place.root / "elsewhere")
    answer = place.hvmpi("rerun", place.run().timestamp, "--run-dir", place.run_dir)
    assert answer.code == 0, answer.out + answer.err
    calls = standin.calls()
    assert of(calls, "jobNumber", "postExec") == [
        ("1", "a = '{job}'"),
        ("2", "a = '{job}'"),
        ("2", "a = '{job}'"),
    ]
    assert calls[1].argv[1:] == calls[2].argv[1:]
    assert {call.environment["AtlasVersion"] for call in calls} == {"23.0.53"}
    assert len(place.run().files("hits")) == 2


def test_the_settings_of_a_run_make_the_same_campaign_again(place: Place, standin: StandIn) -> None:
    mine = tag(place, "mine", arguments={"randomSeed": "{seed}", "jobNumber": "{job}"})
    chosen = config(place, standin, [mine], job_size=2, keep=["hits"])
    standin.evnt(place.root / "evnt", 4)
    assert place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt").code == 0
    first = place.run()
    (place.root / "tags/mine.toml").unlink()
    assert place.hvmpi("reconstruct", "-c", first.directory / "settings.toml").code == 0
    once, again = standin.calls()[:2], standin.calls()[2:]
    assert [call.argv for call in once] == [call.argv for call in again]


def test_a_job_by_hand_needs_no_run(place: Place, standin: StandIn) -> None:
    chosen = config(place, standin, ["s2608", "r7773", "p2952"], keep=["aod", "daod"])
    evnt = standin.evnt(place.root / "evnt", 6)
    (place.root / "out").mkdir()
    words = ("-c", chosen, "-s", "2", "-n", "3", "--output-dir", "out")
    answer = place.hvmpi("job", evnt, *words)
    assert answer.code == 0, answer.err
    stem = "304795.6.1.3.2"
    made = {path.name: numbers(path) for path in (place.root / "out").iterdir()}
    names = (f"{stem}.aod.pool.root", f"DAOD_EXOT15.{stem}.pool.root")
    assert made == {name: [3, 4, 5] for name in names}
    again = place.hvmpi("job", evnt, *words)
    assert again.code == 2
    assert "is there already" in again.complaint


def test_a_job_by_hand_that_fails_says_why_and_where(place: Place, standin: StandIn) -> None:
    chosen = config(place, standin, ["s2608"], keep=["hits"])
    evnt = standin.evnt(place.root / "evnt", 6)
    standin.misbehave({"rc": 65, "log": ["10:00:01 Sim    FATAL it is over"]})
    answer = place.hvmpi("job", evnt, "-c", chosen)
    assert answer.code == 1
    assert "s2608 failed in execute" in answer.complaint
    log, number = answer.complaint.rpartition("see ")[2].rsplit(":", 1)
    assert "FATAL it is over" in Path(log).read_text().splitlines()[int(number) - 1]
    assert not list(place.root.glob("*.root"))


# Values that are no harm to a shell

NASTY = (
    "'; rm -rf x; '",
    '"; touch harmed; "',
    "$(id) ${HOME} $HOME",
    "`touch harmed`",
    "two\nlines\r\nand\ttab",
    "\\ \\n \\' \\\" \\\\",
    "!! !x #no comment & | > < * ? [a-z] ~ %s %d",
    "Größe → ∞ 🙂",
    "{no placeholder} {} {{ }} {A}",
    "",
    " ",
)
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.text("'\"\\$`;()[]{}!#&|<>*?~ \n-ab", max_size=20),
)


def written(text: str) -> str:
    """Write a text in a tag such that nothing in it is taken for a placeholder."""
    return re.sub(r"\{([A-Za-z_]\w*)\}", r"{{\1}}", text, flags=re.ASCII)


@given(
    single=st.one_of(TEXTS, TEXTS.map("-{}".format), TEXTS.map("--{}".format)),
    several=st.lists(TEXTS.filter(lambda text: not text.startswith("-")), min_size=2, max_size=8),
    variable=TEXTS,
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_values_of_any_text_arrive_as_they_are(
    place: Place, standin: StandIn, single: str, several: list[str], variable: str
) -> None:
    mine = tag(
        place,
        "mine",
        arguments={"postExec": written(single), "preExec": [written(text) for text in several]},
        environment={"MINE": written(variable)},
    )
    chosen = config(place, standin, [mine], keep=["aod"], site={"environment": [f"OURS={single}"]})
    evnt = standin.evnt(place.root / "evnt", 1)
    answer = place.hvmpi("job", evnt, "-c", chosen, "--keep=evnt", "--keep=hits")
    assert answer.code == 0, answer.err
    for made in place.root.glob("*.root"):
        made.unlink()
    call = standin.calls()[-1]
    assert call.argument("postExec") == [single]
    assert call.argument("preExec") == several
    assert call.environment["MINE"] == variable
    assert call.environment["OURS"] == single
    assert not (place.root / "harmed").exists()


def test_one_of_several_values_that_would_be_an_argument_is_refused(
    place: Place, standin: StandIn
) -> None:
    mine = tag(place, "mine", arguments={"preExec": ["a", "--postExec=b"]})
    chosen = config(place, standin, [mine], keep=["hits"])
    standin.evnt(place.root / "evnt", 1)
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 2
    assert "tags/mine.toml" in answer.complaint
    assert "'--postExec=b'" in answer.complaint
    assert place.runs() == []


# Sites


def at_site(place: Place, standin: StandIn, *tags: str, **site: Any) -> list[Call]:
    """Run a campaign of one job at a site that is like this; give the calls of its steps."""
    keep = ["aod"] if "r7773" in tags else ["hits"]
    chosen = config(place, standin, tags, site=site, keep=keep)
    standin.evnt(place.root / "evnt", 3)
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 0, answer.out + answer.err
    return standin.calls()


def test_a_container_of_apptainer_sees_what_it_must(place: Place, standin: StandIn) -> None:
    (place.root / "phys").mkdir()
    calls = at_site(
        place, standin, "s2608", "r7773", container="centos7", binds=[str(place.root / "phys")]
    )
    assert {call.environment["CONTAINER_IMAGE"] for call in calls} == {"centos7"}
    ran = standin.containers()[-2:]
    for words, call in zip(ran, calls, strict=True):
        assert words[:2] == ["apptainer", "exec"]
        assert words[words.index("--pwd") + 1] == str(call.directory)
        bound = [words[i + 1] for i, word in enumerate(words) if word == "-B"]
        evnt = [str(place.root / "evnt")] * (call.transform == "Sim_tf.py")
        assert {str(standin.cvmfs), str(place.root / "phys"), *evnt} <= set(bound)
        assert any(call.directory.is_relative_to(path) for path in bound)


def test_a_container_of_atlas_sees_what_it_must(place: Place, standin: StandIn) -> None:
    (place.root / "phys").mkdir()
    calls = at_site(
        place,
        standin,
        *("s2608", "r7773"),
        container="centos7",
        container_runtime="atlas",
        binds=[str(place.root / "phys")],
    )
    for call in calls:
        assert call.environment["CONTAINER_IMAGE"] == "centos7"
        bound = call.environment["APPTAINER_BIND"].split(",")
        assert str(place.root / "phys") in bound
        assert any(call.directory.is_relative_to(path) for path in bound)
    for words, call in zip(standin.containers()[-2:], calls, strict=True):
        assert words[:5] == ["atlasLocalSetup", "-c", "centos7", "--pwd", str(call.directory)]


def test_the_sites_script_is_sourced_before_the_release(place: Place, standin: StandIn) -> None:
    script = place.root / "it's the site's.sh"
    script.write_text(
        'export SITE_SAW="$PWD ${AtlasSetup:-nothing} ${AtlasVersion:-nothing}"\n'
        "export SITE_SAYS='hello'\n"
    )
    (call,) = at_site(place, standin, "s2608", setup_script=str(script))
    assert call.environment["SITE_SAYS"] == "hello"
    assert call.environment["SITE_SAW"] == f"{call.directory} nothing nothing"


def test_the_site_says_where_conditions_are(
    place: Place, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = "(serverurl=http://a:8000/atlr)(proxyurl=http://b:3128)"
    monkeypatch.setenv("PASSED", "as it is")
    monkeypatch.setenv("OTHER", "no")
    simulation, reconstruction = at_site(
        place,
        standin,
        *("s2608", "r7773"),
        dbrelease="300.0.4",
        frontier_server=server,
        http_proxy="http://b:3128",
        environment=["A_VARIABLE=with = and ' and $HOME"],
        pass_environment=["PASSED"],
    )
    assert simulation.argument("DBRelease") == ["300.0.4"]
    assert not reconstruction.argument("DBRelease")
    for call in (simulation, reconstruction):
        assert call.environment["FRONTIER_SERVER"] == server
        assert call.environment["http_proxy"] == "http://b:3128"
        assert call.environment["A_VARIABLE"] == "with = and ' and $HOME"
        assert call.environment["PASSED"] == "as it is"
        assert "OTHER" not in call.environment


def test_working_directories_are_where_the_site_says(place: Place, standin: StandIn) -> None:
    scratch = place.root / "a scratch"
    scratch.mkdir()
    (call,) = at_site(place, standin, "s2608", scratch=str(scratch), nice=5)
    assert call.directory.is_relative_to(scratch)
    assert not [path for path in scratch.rglob("*") if path.is_file()]


# Event files that are not as they should be


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


def no_root(path: Path) -> None:
    path.write_text("This is a text, and a long one. " * 20)


def without_events(path: Path) -> None:
    write_pool(path, 304795, [])


def short(path: Path) -> None:
    write_pool(path, 304795, [1, 2])


SPOILT = {
    truncated: "truncated",
    no_root: "no ROOT file",
    without_events: "0 events",
    short: "2 events, 4 were expected",
}


@pytest.mark.parametrize("spoil", [*SPOILT, None], ids=lambda one: one.__name__ if one else "empty")
def test_a_bad_event_file_is_put_aside_and_the_others_go_on(
    place: Place, standin: StandIn, spoil: Any
) -> None:
    chosen = config(place, standin, ["s2608"], job_size=2, keep=["hits"])
    bad = standin.evnt(place.root / "evnt", 4)
    standin.evnt(place.root / "evnt", 4, batch=2)
    if spoil is None:
        bad.write_bytes(b"")
    else:
        spoil(bad)
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 1
    told = next(line for line in answer.out.splitlines() if "put aside" in line)
    assert str(bad) in told
    assert SPOILT.get(spoil, "is empty") in told
    assert place.run().files("hits") == [f"304795.4.2.2.{n}.HITS.pool.root" for n in (0, 2)]
    assert {call.argument("inputEVNTFile")[0] for call in standin.calls()} == {
        str(place.root / "evnt/304795.4.2.evnt.pool.root")
    }


def test_an_event_file_that_is_spoilt_later_is_put_aside_then(
    place: Place, standin: StandIn
) -> None:
    bad = standin.evnt(place.root / "evnt", 4)
    standin.evnt(place.root / "evnt", 4, batch=2)
    # Behind the count of its events, before the first job.
    script = place.root / "spoil.sh"
    script.write_text(f"echo text > {bad}\n")
    chosen = config(
        place,
        standin,
        ["s2608"],
        job_size=2,
        keep=["hits"],
        site={"setup_script": str(script)},
    )
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 1
    status = place.run().status()
    assert list(status.jobs["state"]) == ["failed", "failed", "done", "done"]
    assert list(status.jobs["attempts"]) == [1, 0, 1, 1]
    assert set(status.jobs["outcome"][:2]) == {"bad_input"}


def test_a_rerun_with_other_tags_is_refused(place: Place, standin: StandIn) -> None:
    standin.misbehave({"rc": 1}, transform="Sim_tf.py")
    standin.evnt(place.root / "evnt", 4)
    campaign = config(place, standin, ["s2608"], evnt_dir=str(place.root / "evnt"), keep=["hits"])
    assert place.hvmpi("reconstruct", "-c", campaign).code == 1
    run = place.run()
    standin.behave()
    copy = run.directory / "tags/s2608.toml"
    text = copy.read_text()
    copy.chmod(0o600)
    copy.write_text(text.replace("FTFP_BERT", "QGSP_BIC"))
    changed = place.hvmpi("rerun", run.timestamp)
    assert changed.code == 2
    assert "tag s2608" in changed.complaint
    copy.unlink()
    gone = place.hvmpi("rerun", run.timestamp)
    assert gone.code == 2
    assert "there is no tag 's2608'" in gone.complaint
    copy.write_text(text)
    assert place.hvmpi("rerun", run.timestamp).code == 0
    answer = place.hvmpi("verify")
    assert answer.code == 0
    assert "4 events" in answer.out


def test_an_event_file_with_a_comma_in_its_name_is_put_aside(
    place: Place, standin: StandIn
) -> None:
    standin.evnt(place.root / "evnt", 4).rename(place.root / "evnt/a,b.pool.root")
    standin.evnt(place.root / "evnt", 4, batch=2)
    campaign = config(place, standin, ["s2608"], evnt_dir=str(place.root / "evnt"), keep=["hits"])
    assert place.hvmpi("reconstruct", "-c", campaign).code == 1
    assert "has a comma in its path" in place.hvmpi("status").flat
    assert place.run().files("hits") == ["304795.4.2.50.0.HITS.pool.root"]
