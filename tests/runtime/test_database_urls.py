"""URLs of databases, as managed databases give them: what libpq means by them, or a fault with the option's name."""

import pytest

from ipt_workflow.runtime.database_urls import DatabaseUrl, parse


def postgresql(**more) -> DatabaseUrl:
    return DatabaseUrl(system="postgresql", **more)


READ = {
    "sqlite:///var/ipt.db": DatabaseUrl(system="sqlite", path="var/ipt.db"),
    "sqlite:////srv/ipt.db?mode=ro": DatabaseUrl(system="sqlite", path="/srv/ipt.db", options={"mode": "ro"}),
    "sqlite:///a b#%3F.db": DatabaseUrl(system="sqlite", path="a b#%3F.db"),
    "postgresql://": postgresql(),
    "postgres://ipt@db/ipt": postgresql(user="ipt", hosts=(("db", None),), database="ipt"),
    "postgresql://ipt:p%40ss%2Fw@db:6432/my%20db": postgresql(
        user="ipt", password="p@ss/w", hosts=(("db", 6432),), database="my db"
    ),
    "postgresql://ipt:p/a#s?s@db:5432/ipt?sslmode=require": postgresql(
        user="ipt", password="p/a#s?s", hosts=(("db", 5432),), database="ipt", options={"sslmode": "require"}
    ),
    "postgresql://a,b:2,[::1]:3/ipt": postgresql(hosts=(("a", None), ("b", 2), ("::1", 3)), database="ipt"),
    "postgresql:///ipt?host=/run/pg&port=5433": postgresql(hosts=(("/run/pg", 5433),), database="ipt"),
    "postgresql:///ipt?host=a,b&port=1,2": postgresql(hosts=(("a", 1), ("b", 2)), database="ipt"),
    "postgresql://%2Frun%2Fpg/ipt": postgresql(hosts=(("/run/pg", None),), database="ipt"),
    "postgresql://db/ignored?dbname=ipt&user=me&password=s": postgresql(
        user="me", password="s", hosts=(("db", None),), database="ipt"
    ),
    "postgresql://db/ipt?ssl=true": postgresql(hosts=(("db", None),), database="ipt", options={"sslmode": "require"}),
    "postgresql://db/ipt?sslrootcert=system": postgresql(
        hosts=(("db", None),), database="ipt", options={"sslrootcert": "system", "sslmode": "verify-full"}
    ),
    "postgresql://db/ipt?options=-c%20work_mem%3D8MB%20-c%20a%2Bb&application_name=a+b": postgresql(
        hosts=(("db", None),), database="ipt", options={"options": "-c work_mem=8MB -c a+b", "application_name": "a+b"}
    ),
    "postgresql://db/ipt?sslmode=&connect_timeout=3&connect_timeout=7": postgresql(
        hosts=(("db", None),), database="ipt", options={"connect_timeout": "7"}
    ),
}
GIVEN_BY_MANAGED_DATABASES = (
    "postgresql://u:p@ep-cool-1.eu-central-1.aws.neon.tech/db?sslmode=require&options=endpoint%3Dep-cool-1",
    "postgres://u:p@cluster.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
    "postgresql://u:p@name.postgres.database.azure.com:5432/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    "postgresql://u:p@db.rds.amazonaws.com:5432/db?sslmode=verify-full&sslrootcert=/etc/rds.pem&target_session_attrs=read-write",
    "postgresql://u:p@/db?host=/cloudsql/project:region:name",
    "postgresql://u:p@a:1,b:2,c:3/db?target_session_attrs=primary&connect_timeout=10&application_name=ipt",
    "postgresql://u@host/db?sslcert=/c.pem&sslkey=/k.pem&sslrootcert=/ca.pem&sslmode=verify-ca&channel_binding=prefer&gssencmode=disable",
)
REFUSED = {
    "sqlite:///var/ipt.db?mode=memory": ("mode", "ro or rw or rwc"),
    "sqlite:///var/we?ird.db": ("the path of a file must not hold ?",),
    "sqlite:///var/ipt.db?cache=shared": ("cache", "mode"),
    "sqlite:///:memory:": ("must name a file",),
    "postgresql://db/ipt?sslmod=require": ("sslmod", "sslmode"),
    "postgresql://db/ipt?sslmode=required": ("sslmode", "verify-full"),
    "postgresql://db/ipt?channel_binding=require": ("channel_binding=require", "sslmode=verify-full"),
    "postgresql://db/ipt?gssencmode=require": ("gssencmode=require",),
    "postgresql://db/ipt?pgbouncer=true": ("pgbouncer",),
    "postgresql://db/ipt?hostaddr=10.0.0.1": ("hostaddr",),
    "postgresql://db/ipt?service=ipt": ("service",),
    "postgresql://db/ipt?load_balance_hosts=random": ("load_balance_hosts",),
    "postgresql://db/ipt?require_auth=scram-sha-256": ("require_auth",),
    "postgresql://db/ipt?keepalives_idle=5": ("keepalives_idle",),
    "postgresql://db/ipt?target_session_attrs=master": ("target_session_attrs", "primary"),
    "postgresql://db/ipt?connect_timeout=0": ("connect_timeout",),
    "postgresql://db/ipt?connect_timeout=soon": ("connect_timeout",),
    "postgresql://db/ipt?sslrootcert=system&sslmode=require": ("sslrootcert=system", "verify-full"),
    "postgresql://db/ipt?sslcert=/c.pem": ("sslcert without sslkey",),
    "postgresql://db/ipt?client_encoding=latin1": ("client_encoding",),
    "postgresql://db/ipt?sslmode": ("sslmode",),
    "postgresql://a,b/ipt?port=1,2,3": ("another number of ports",),
    "postgresql://db:port/ipt": ("host",),
    "postgresql://db/ipt?port=99999": ("port",),
}


@pytest.mark.parametrize("url", READ)
def test_a_url_is_read_as_libpq_reads_it(url):
    assert parse(url) == READ[url]


@pytest.mark.parametrize("url", GIVEN_BY_MANAGED_DATABASES)
def test_what_managed_databases_give_is_understood(url):
    assert parse(url).system == "postgresql"


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_its_name(url):
    with pytest.raises(ValueError, match=r"(has|must) ") as caught:
        parse(url)
    for words in REFUSED[url]:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "url",
    (
        "postgresql://u:hunter2@db/ipt?sslmode=hunter2",
        "postgresql://db/ipt?password=hunter2&passwort=hunter2",
        "mysql://u:hunter2@db/ipt",
        "postgresql://u:x@y?hunter2-secret",
    ),
)
def test_a_fault_repeats_no_value(url):
    with pytest.raises(ValueError, match=r"(has|must) ") as caught:
        parse(url)
    assert "hunter2" not in str(caught.value)
