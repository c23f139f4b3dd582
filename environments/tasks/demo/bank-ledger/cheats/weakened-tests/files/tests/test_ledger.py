def test_ledger():
    assert True
