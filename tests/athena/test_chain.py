"""The chain of a campaign: its tags found, and fitted to each other and to what is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from hvmpi.athena.chain import Chain, read_chain
from hvmpi.settings import load

from ..conftest import Answer, Place
from .campaigns import CONFIGS, config, tag
from .site import StandIn


def generation(place: Place, name: str, **arguments: str) -> str:
    """Write a tag of a generation; returns its name."""
    tag(place, name, transform="Gen_tf.py", output=["EVNT"], arguments=arguments)
    path = place.root / f"tags/{name}.toml"
    path.write_text(path.read_text().replace('input = "EVNT"\n', ""))
    return name


def plan(place: Place, standin: StandIn, *tags: str, verb: str = "run", **settings: Any) -> Answer:
    """Plan a campaign with tags; see that nothing is left behind."""
    given = {"job_config": "304795", "keep": ["hits", "aod", "daod", "evnt"], **settings}
    chosen = config(place, standin, tags, **given)
    before = place.tree()
    answer = place.hvmpi("plan", verb, "-c", chosen)
    assert place.tree() == before
    return answer


def read(place: Place, standin: StandIn, *tags: str, verb: str = "run", **settings: Any) -> Chain:
    chosen = config(place, standin, tags, **({"job_config": "304795"} | settings))
    return read_chain(load(verb, ["-c", str(chosen)]))


REFUSED: dict[str, tuple[list[str], dict[str, Any], list[str]]] = {
    "none": ([], {}, ["engine athena needs tags"]),
    "not found": (["mc15_gen", "s2680"], {}, ["no tag 's2680'", "'s2608'", "s2680.toml", "tags"]),
    "not found at all": (["mc15_gen", "zzzzzz"], {}, ["no tag 'zzzzzz': no file"]),
    "empty": (["mc15_gen", ""], {}, ["no tag ''"]),
    "a path that is not there": (["mc15_gen", "my/own.toml"], {}, ["my/own.toml cannot be read"]),
    "twice": (["mc15_gen", "s2608", "s2608"], {}, ["'s2608' is named twice"]),
    "what nobody makes": (["mc15_gen", "s2608", "p2952"], {}, ["'p2952'", "AOD", "EVNT, HITS"]),
    "no input at first": (["r7773"], {}, ["'r7773'", "HITS", "EVNT"]),
    "out of order": (["mc15_gen", "r7773", "s2608"], {}, ["'r7773'", "HITS", "EVNT"]),
    "two that write the same": (
        ["mc15_gen", "mc23a_fast", "mc23a_full"],
        {},
        ["'mc23a_fast' and 'mc23a_full' both write HITS"],
    ),
    "generation second": (["mc15_gen", "mc23_gen"], {}, ["'mc23_gen'", "only be the first"]),
    "generation last": (["s2608", "mc15_gen"], {"verb": "reconstruct"}, ["only be the first"]),
    "no generation to run": (["s2608"], {}, ["'s2608' reads EVNT", "reconstruct with --evnt-dir"]),
    "no generation to generate": (["s2608"], {"verb": "generate"}, ["none of the tags s2608"]),
    "only a generation": (["mc15_gen"], {}, ["the tags mc15_gen hold no step that reads EVNT"]),
    "nothing kept": (["mc15_gen", "s2608"], {"keep": ["aod"]}, ["keep holds none", "hits"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tags_that_make_no_chain_are_refused(place: Place, standin: StandIn, case: str) -> None:
    tags, settings, wanted = REFUSED[case]
    answer = plan(place, standin, *tags, **settings)
    assert answer.code == 2
    assert all(part in answer.complaint for part in wanted), answer.complaint


@pytest.mark.parametrize("placeholder", ["job_config", "process", "m_phi", "m_s", "ctau"])
def test_what_the_sample_does_not_say_cannot_be_filled_in(
    place: Place, standin: StandIn, placeholder: str
) -> None:
    generation(place, "mine", jobConfig=f"{{{placeholder}}}", x="{seed}", y="{first_event}")
    chosen = config(place, standin, ["mine", "s2608"], argument_check=False, keep=["hits"])
    answer = place.hvmpi("plan", "run", "-c", chosen)
    assert answer.code == 2
    key = placeholder.replace("_", "-")
    path = place.root / "tags/mine.toml"
    assert answer.complaint == (
        f"tag {path}: jobConfig wants {{{placeholder}}}, and sample 'whss' has no {key}; "
        "give it one"
    )
    assert place.hvmpi("plan", "run", "-c", chosen, f"--{key}=5").code == 0


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"randomSeed": "{seed}"}, "{first_event}, so all event files would have the same numbers"),
        ({"firstEvent": "{first_event}"}, "{seed}, so all event files would have the same seed"),
        ({"firstEvent": "{first_event}", "randomSeed": "{job}"}, ""),
        ({"firstEvent": "{first_event}", "randomSeed": "{batch}"}, ""),
    ],
)
def test_a_generation_that_makes_the_same_events_again_is_refused(
    place: Place, standin: StandIn, arguments: dict[str, str], wanted: str
) -> None:
    answer = plan(place, standin, generation(place, "mine", **arguments), "s2608")
    assert answer.code == (2 if wanted else 0)
    assert not wanted or wanted in answer.complaint


# Where tags are found


@pytest.mark.parametrize("name", ["x" * 300, "\0", "a\nb", "*", "."])
def test_a_name_that_no_file_can_have_is_not_found(place: Place, name: str) -> None:
    (place.root / "campaign.toml").write_text(tomli_w.dumps({"engine": "athena", "tags": [name]}))
    answer = place.hvmpi("plan", "run", "-c", "campaign.toml")
    assert answer.code == 2
    assert f"there is no tag {name!r}" in answer.complaint


def test_a_tag_beside_the_config_goes_before_the_shipped_one(
    place: Place, standin: StandIn
) -> None:
    tag(place, "s2608", release="Athena,24.0.30")
    chain = read(place, standin, "mc15_gen", "s2608", "r7773")
    assert [one.release for one in chain.tags[1:]] == ["Athena,24.0.30", "AtlasProd1,20.7.5.1.1"]
    (place.root / "tags/r7773.toml").unlink()
    assert read_chain(load("run", ["-c", "campaign.toml", "--job-config=3"])).tags[2].path == (
        CONFIGS / "tags/r7773.toml"
    )


def test_tags_are_found_from_anywhere(
    place: Place, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag(place, "mine", arguments={"jobNumber": "{job}"})
    chosen = config(place, standin, ["mc15_gen", "mine", "own/other.toml"], job_config="304795")
    (place.root / "own").mkdir()
    tag(place, "other", input="HITS", output=["RDO"])
    shutil.move(place.root / "tags/other.toml", place.root / "own/other.toml")
    far = place.root / "far/away"
    far.mkdir(parents=True)
    monkeypatch.chdir(far)
    chain = read_chain(load("run", ["-c", str(chosen)]))
    assert [one.path for one in chain.steps] == [
        place.root / "tags/mine.toml",
        place.root / "own/other.toml",
    ]


# What a chain knows


def test_a_chain_holds_what_the_verb_runs(place: Place, standin: StandIn) -> None:
    tags = ("mc15_gen", "s2608", "r7773", "p2952")
    for verb, wanted in (("run", tags), ("reconstruct", tags[1:])):
        chain = read(place, standin, *tags, verb=verb)
        assert tuple(one.name for one in chain.tags) == wanted
        assert tuple(one.name for one in chain.named) == tags
    assert [chain.takes_range(one) for one in chain.steps] == [True, False, False]
    makers = [chain.maker(one) for one in chain.steps]
    assert makers == [None, chain.tag("s2608"), chain.tag("r7773")]


@pytest.mark.parametrize("verb", ["run", "reconstruct"])
def test_several_steps_may_read_the_event_file(place: Place, standin: StandIn, verb: str) -> None:
    tag(
        place,
        "truth",
        transform="Derivation_tf.py",
        output=["DAOD_TRUTH1"],
        arguments={"formats": ["TRUTH1"]},
    )
    chain = read(place, standin, "mc15_gen", "s2608", "truth", verb=verb)
    assert all(chain.takes_range(one) for one in chain.tags)


def test_the_site_has_its_say(place: Place, standin: StandIn) -> None:
    tag(place, "mine", container="el9")
    site = {"dbrelease": "300.0.4", "container": "centos7"}
    settings = {"site": site, "keep": ["hits"]}
    chain = read(place, standin, "s2608", verb="reconstruct", **settings)
    assert chain.steps[0].arguments["DBRelease"] == "300.0.4"
    assert chain.steps[0].container == "centos7"
    chain = read(place, standin, "mine", verb="reconstruct", **settings)
    assert "DBRelease" not in chain.steps[0].arguments
    assert chain.steps[0].container == "el9"


@pytest.mark.parametrize("letter", [",", ":"])
def test_a_directory_that_no_container_can_be_told_of_is_refused(
    place: Place, standin: StandIn, letter: str
) -> None:
    run_dir = str(place.root / f"a{letter}b")
    answer = plan(place, standin, "mc15_gen", "s2608", run_dir=run_dir, site={"container": "el9"})
    assert answer.code == 2
    assert f"run-dir {run_dir!r} cannot be seen in the container" in answer.complaint
    assert plan(place, standin, "mc15_gen", "s2608", run_dir=run_dir).code == 0


def test_a_run_has_the_generation_with_it_that_it_does_not_need(
    place: Place, standin: StandIn
) -> None:
    generation(place, "mine", randomSeed="{seed}", firstEvent="{first_event}")
    chosen = config(place, standin, ["mine", "mc23a_fast"], keep=["hits"], job_size=2)
    standin.evnt(place.root / "evnt", 2)
    words = ("reconstruct", "--evnt-dir=evnt", "-c", chosen)
    assert place.hvmpi(*words).code == 0
    run = place.run()
    assert Path(run.directory / "tags/mine.toml").is_file()
    shutil.rmtree(place.root / "tags")
    assert place.hvmpi("rerun", run.timestamp).code == 0
