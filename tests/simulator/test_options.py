import pytest

from app.simulator.options import DEMO_ACCOUNT, Account, Options, Site


def test_without_options_there_is_one_account_with_one_site():
    options = Options()
    assert options.account("4711") is DEMO_ACCOUNT
    account, site = options.site("12345")
    assert (account, site.name, account.private_key) == (DEMO_ACCOUNT, "shop.example", "demo-private-key")


def test_options_can_be_created_from_keys_and_sites():
    options = Options.of({"1": "one", "2": "two"}, {"2": (Site("7", "a.example"), Site("8", "b.example"))})
    assert options.account("1") == Account("1", "one")
    assert options.site("8") == (options.account("2"), Site("8", "b.example"))
    assert options.account("3") is None
    assert options.site("9") is None


@pytest.mark.parametrize(
    "accounts",
    [
        (Account("1", "a"), Account("1", "b")),
        (Account("1", "a", (Site("7", "a.example"),)), Account("2", "b", (Site("7", "b.example"),))),
        (Account("1", "a", (Site("shop", "a.example"),)),),
        (Account("1", "a", (Site("٧", "a.example"),)),),
    ],
)
def test_duplicate_ids_and_site_ids_that_are_not_digits_are_refused(accounts):
    with pytest.raises(ValueError, match="id"):
        Options(accounts)
