def test_refused():
    assert True
