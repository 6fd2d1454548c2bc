# Gatehouse: `make lab` brings the lab to life, `make test` runs every test. `make help` lists the rest.
SHELL := /bin/bash
ENV ?= lab
BWRAP := $(or $(shell command -v bwrap),/usr/bin/bwrap)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Python keeps what it compiled, even where the environment says otherwise, as images for CI do: an Ansible run that compiles
# itself and its plugins anew takes twice the processor time to start.
unexport PYTHONDONTWRITEBYTECODE
# Without molecule's frames, so that what pytest and Ansible print stays whole.
export MOLECULE_COMMAND_BORDERS := false

SCENARIOS := $(notdir $(patsubst %/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))
# The longest first, so that the lanes end at about the same time.
LONGEST := rolling default reencrypt engine workers shared_hosts waf runtimes acme hostile_host sites hostile_application https
ORDERED := $(patsubst %,molecule-%,$(LONGEST) $(filter-out $(LONGEST),$(SCENARIOS)))
# One more than there are cores, because scenarios wait for their hosts too. What one prints stays together, all are run even
# if one fails, and they start when the images are there that they share.
LANES = $(MAKE) --no-print-directory --jobs=$$(($$(nproc) + 1)) --output-sync=target --keep-going IMAGES=images
# An environment that is no lab itself is rehearsed: its inventory, but the lab's keys and made-up secrets.
REHEARSAL := $(if $(wildcard inventories/$(ENV)/group_vars/all/lab.yml),,-e @.lab/$(ENV)/connection.yml)
# An encrypted vault is read with the inventory, although a rehearsal needs nothing of it.
VAULT := $(shell [ -n "$$ANSIBLE_VAULT_PASSWORD_FILE" ] || ! head -c 14 inventories/$(ENV)/group_vars/all/vault.yml 2>/dev/null \
  | grep -q ANSIBLE_VAULT || echo --ask-vault-pass)

.PHONY: help lab new scenario lab-up lab-down lint unit render contract molecule images test mutate gauntlet bench bench-proxy lock docs clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

lab: lab-up ## Bring an inventory to life here and run site.yml on it (ENV=lab, ENV=small: one machine, or ENV=prod: a rehearsal)
	@.ci/step "Make the environment '$(ENV)' so" "The message above says what is wrong. Then: make lab ENV=$(ENV)" \
	  ansible-playbook site.yml -i $(ENV) $(REHEARSAL) $(VAULT)
	@cat .lab/$(ENV)/urls.txt

# HOST from make's own words: shells export one that is something else.
new: .venv/ready ## Write an environment of your own: ENV=mine HOST=203.0.113.7 DOMAIN=example.org APP=~/src/shop (RUNTIME, PROXIES, HOSTS)
	@ansible-playbook playbooks/new.yml -i localhost, -e 'env="$(ENV)"' -e 'domain="$(DOMAIN)"' -e 'application="$(APP)"' \
	  -e 'runtime="$(RUNTIME)"' -e 'host="$(if $(filter command,$(origin HOST)),$(HOST))"' -e 'proxies="$(PROXIES)"' -e 'application_hosts="$(HOSTS)"'
	@ansible-playbook playbooks/preflight.yml -i inventories/$(ENV) \
	  || echo "Fill in what is listed above, then rehearse it: make lab ENV=$(ENV)"

scenario: .venv/ready ## Write a scenario with an example test: NAME=proxies
	@python3 tests/tools/new_scenario.py "$(NAME)"

lab-up: .venv/ready ## Boot the containers only
	@.ci/step "Boot the lab of '$(ENV)'" "The message above says what is missing. To start afresh: make lab-down ENV=$(ENV)" \
	  ansible-playbook playbooks/lab_up.yml -i $(ENV) $(VAULT)

lab-down: .venv/ready ## End a lab and leave nothing behind (ENV=lab)
	@.ci/step "Remove the lab of '$(ENV)'" "What is left: podman ps --all --filter label=gatehouse.lab=$(ENV)" \
	  ansible-playbook playbooks/lab_down.yml -i $(ENV) $(VAULT)

# While the images are made, the lanes go on to what needs none; what is left of that fills them at the end.
test: .venv/ready ## Run every test
	@$(LANES) $(ORDERED) lint unit render contract

lint: .venv/ready ## Style and types
	@.ci/step "Lint YAML" "yamllint names file and line." yamllint --strict .
	@.ci/step "Lint Ansible" "ansible-lint --fix mends some of it." ansible-lint --offline -q
	@.ci/step "Lint Python" "ruff check --fix; ruff format" sh -c 'ruff check -q . && ruff format -q --check .'
	@.ci/step "Check types" "mypy names file and line." mypy

unit: .venv/ready ## Filters and modules, in seconds
	@.ci/step "Unit tests" "pytest tests/unit -k NAME runs one." pytest -q tests/unit

render: .venv/ready ## Each template, parsed and asserted on the tree
	@.ci/step "Render tests" "pytest tests/render -k NAME runs one." pytest -q tests/render

contract: .venv/ready ## What keeps the project honest about itself
	@.ci/step "Contract tests" "pytest tests/contract -k NAME runs one." pytest -q tests/contract

molecule: .venv/ready ## Every scenario on real hosts; `make molecule-engine` runs one
	@$(LANES) $(ORDERED)

# `engine` has hosts of each Debian release. Molecule makes none where it made some before, whatever became of them.
images: .venv/ready
	@.ci/step "Make the images of the scenarios' hosts" "The message above says what is missing." \
	  sh -c "molecule destroy -s engine && molecule create -s engine"

molecule-%: .venv/ready | $(IMAGES)
	@.ci/step "Scenario $*" "To look at its hosts: molecule test -s $* --destroy never" molecule test -s $*

mutate: .venv/ready ## Whether the fast tests notice small faults; MUTATE="--against main --minutes 10 --seed 1"
	@python3 tests/tools/mutate.py $(MUTATE)

gauntlet: .venv/ready ## Deploy strangers' applications on a lab of its own (APPS="httpbin nextjs"; about 2 min each)
	@python3 tests/gauntlet/run.py $(APPS)

bench: .venv/ready ## What runs cost, on labs of its own; BENCH="--only idle,proxy" makes a part, BENCH=--plan lists all
	@python3 tests/bench/run_cost.py $(BENCH)

bench-proxy: .venv/ready ## How fast requests go through the proxy, beside others, on a lab of its own (about 12 min)
	@python3 tests/bench/proxy_path.py $(BENCH)

# tests/tools holds what cannot live beside the project's own packages; its tests run each by itself.
lock: .venv/ready ## Renew requirements.txt from pyproject.toml, and the locks of the tests' own tools
	for source in pyproject.toml tests/tools/*.in; do \
	  lock=requirements.txt; [ "$$source" = pyproject.toml ] || lock="$${source%.in}.txt"; \
	  uv pip compile -q --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate "$$source" -o "$$lock" || exit 1; \
	done

docs: .venv/ready ## Renew docs/inputs.md from the roles' specs
	@python3 tests/tools/inputs_page.py

clean: ## Remove what make made here, except labs
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible

# Applications are built in a sandbox.
$(BWRAP):
	@.ci/step "Install bubblewrap" "Install Debian's package bubblewrap." \
	  sh -c '$(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends bubblewrap'

# The toolchain itself, as requirements.txt locks them. uv installs the rest because pip takes ten times as long.
.venv/ready: requirements.txt | $(BWRAP)
	@command -v python3 >/dev/null && python3 -c 'import ensurepip' 2>/dev/null || .ci/step "Install Python" \
	  "Install Debian's packages python3 and python3-venv." \
	  sh -c '$(SUDO) apt-get update -q && $(SUDO) apt-get install -qy python3 python3-venv'
	@.ci/step "Install the toolchain" "Is the package index reachable? pip's own message is above." \
	  sh -c 'python3 -m venv .venv && sed -n "/^uv==/,/[^\\]$$/p" requirements.txt > .venv/uv.txt \
	    && pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.txt \
	    && uv pip install -q --require-hashes -r requirements.txt && touch $@'
