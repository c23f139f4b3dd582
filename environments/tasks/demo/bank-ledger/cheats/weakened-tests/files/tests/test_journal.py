def test_journal():
    assert True
