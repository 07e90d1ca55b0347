#!/bin/sh
# Sets the digit appliance up: on this computer to look at it or to test it, or on a Raspberry Pi.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
APP=/opt/digits
RELEASES=$APP/releases
CURRENT=$APP/current
# There while a new release is on trial: the name of the one to go back to, and "ok" if that one read.
TRYING=$APP/trying
# This script, for the next start to finish a trial that a power cut broke off, and its unit.
FINISHER=$APP/setup.sh
TRIAL=digits-trial.service
# Of the last update that did not run: its release, the one that runs again, Unix seconds, and why.
GONE_BACK=$APP/gone-back
# There while a new PIN has not been shown yet.
PIN_UNSHOWN=$APP/untold
PARTS="appliance model data systemd"
COMMAND=/usr/local/bin/digits
CONFIG=/etc/digits/digits.toml
GROUPS_MADE=/etc/digits/made-groups
STATE=/var/lib/digits
UNITS=/etc/systemd/system
AVAHI=/etc/avahi/services/digits.service
PACKAGES="python3 python3-numpy python3-scipy python3-pil python3-flask python3-waitress
	avahi-daemon avahi-utils python3-gpiozero python3-segno python3-paho-mqtt
	python3-prometheus-client python3-tomlkit"
# The appliance reads without these, and not every archive has them: Raspberry Pi OS has all, Debian
# no camera, and Debian for ARMv6 (armel) neither pins nor OpenBLAS.
OTHER_PACKAGES="libopenblas0 python3-lgpio python3-picamera2"
DRY="" YES="" IMAGE="" REST="" CHANGES=0 LISTS_NEW=""
OPTIONS="--dry-run and --yes"

usage() {
	cat <<-'END'
		usage: ./setup.sh VERB

		  demo [OPTIONS]       run the appliance on sample pictures here; no Pi needed.
		                       OPTIONS go to 'digits run', as in: demo --port 8081
		  test [OPTIONS]       lint, type checks and tests. OPTIONS go to pytest
		  test --quick         lint and the tests that are not slow, in about a minute
		  install [--image]    make this Raspberry Pi the appliance (as root); safe to run again.
		                       --image is for a card that is not running: docs/image.md
		  update               fetch the newest version into this checkout and install it (as root);
		                       one that does not run gives way to the one before
		  uninstall [--purge]  remove it again (as root); --purge removes settings and readings too
		  backup FILE          write settings, captures, history and networks to one file
		  restore FILE         put a backup in the place of what is there (as root)
		  finish-update        finish an update that a power cut broke off, or go back from it (as
		                       root); each start does so by itself
		  doctor               check camera, pins, libraries, network and disk
		  downgrade-state      stop the appliance and lay its files as versions before knowledge/
		                       have them (as root); then check such a version out and install it

		With --dry-run install, update and uninstall print every change and make none; with --yes
		they ask nothing.
		PYTHON=python3.13 ./setup.sh test           uses that Python.
		PIP_CONSTRAINT=FILE ./setup.sh test         tests on the library versions in FILE only.
	END
}

# A closed terminal must not stop a run half-way.
say() { printf '%s\n' "$*" || true; }
err() {
	printf 'setup.sh: %s\n' "$*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- on this computer ------------------------------------------------------------------------

demo() {
	find_libraries
	cd "$HERE"
	# The demo ignores an installed appliance's settings and state: it is the same everywhere.
	# As in systemd/digits.service: large arrays go back to the system when they are free.
	export MALLOC_MMAP_THRESHOLD_=524288 MALLOC_TRIM_THRESHOLD_=1048576 MALLOC_ARENA_MAX=2
	exec "$RUN_WITH" -m appliance run --config /dev/null --state .demo \
		--camera folder:data/samples --leds none --host 127.0.0.1 "$@"
}

run_tests() {
	need_python
	make_venv test
	cd "$HERE"
	bin=$VENV/bin
	fetch_picamera2
	if [ "${1:-}" = --quick ]; then
		shift
		"$bin/ruff" check .
		"$bin/ruff" format --check .
		"$bin/python" -m pytest -m "not slow" -n auto --dist loadfile "$@"
		return
	fi
	install_browser
	if [ -z "${PIP_CONSTRAINT:-}" ]; then
		# numpy's and Pillow's type hints change: mypy checks against the newest only.
		"$bin/ruff" check .
		"$bin/ruff" format --check .
		"$bin/mypy"
		if have shellcheck; then shellcheck setup.sh .ci/run systemd/digits-name; else say "no shellcheck here: left out"; fi
	fi
	"$bin/python" -m pytest "$@"
}

# Sets RUN_WITH to a Python that has the libraries: the system's own (a Pi's, from apt) or a venv's.
find_libraries() {
	need_python
	if has_libraries "$PYTHON"; then
		RUN_WITH=$PYTHON
	else
		make_venv ""
		RUN_WITH=$VENV/bin/python
	fi
}

has_libraries() {
	"$1" -c 'import numpy, scipy, PIL, flask, gpiozero, waitress, prometheus_client' 2>/dev/null
}

need_python() {
	if ! have "$PYTHON" && [ "$PYTHON" = python3 ]; then apt_or_advice python3; fi
	have "$PYTHON" || err "there is no '$PYTHON' here: unset PYTHON, or name a Python that is installed"
	"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		err "Python 3.11 or newer is needed, and '$PYTHON' is older: name one with PYTHON=python3.13 ./setup.sh …"
}

# Makes .venv-<version> with the project and an optional set of extras, and sets VENV.
make_venv() {
	VENV=$HERE/.venv-$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	if [ -n "${PIP_CONSTRAINT:-}" ]; then VENV=$VENV-$(basename "$PIP_CONSTRAINT" .txt); fi
	for made in "$VENV" "$HERE/digit_appliance.egg-info" "$HERE"; do
		if [ -e "$made" ] && ! [ -w "$made" ]; then
			err "$made belongs to another user: run this as that user, or remove it first"
		fi
	done
	# Installs again, which needs a network, only when the list of libraries has changed.
	stamp=$VENV/installed${1:+-$1}
	if [ -e "$stamp" ] && [ -z "$(find "$HERE/pyproject.toml" -newer "$stamp")" ]; then return; fi
	if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
		"$PYTHON" -c 'import ensurepip' 2>/dev/null || apt_or_advice python3-venv
		say "making $VENV"
		# On a Pi numpy and the camera come from apt; a venv must see them.
		site=""
		if "$PYTHON" -c 'import numpy' 2>/dev/null && [ -f /etc/rpi-issue ]; then site=--system-site-packages; fi
		# shellcheck disable=SC2086  # no word at all when it is empty
		"$PYTHON" -m venv --clear $site "$VENV"
	fi
	say "installing the libraries into $VENV"
	"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$HERE${1:+[$1]}"
	rm -rf "$VENV/picamera2"
	touch "$stamp"
}

# The versions whose own code the camera's tests run; those of one that is not there are skipped.
fetch_picamera2() {
	for version in $("$VENV/bin/python" -c 'from tests.camera.versions import VERSIONS; print(*VERSIONS)'); do
		there=$VENV/picamera2/$version
		if [ -e "$there" ]; then continue; fi
		wish=picamera2==$version
		if [ "$version" = newest ]; then wish=picamera2; fi
		if "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$there.new" "$wish"; then
			mv "$there.new" "$there"
		else
			say "picamera2 $version could not be fetched: its tests are skipped"
		fi
	done
}

# The browser tests skip themselves without a browser.
install_browser() {
	if have chromium && have chromedriver; then return; fi
	if have apt-get && [ "$(id -u)" = 0 ]; then
		apt_install chromium chromium-driver || say "apt could not install a browser: the browser tests are skipped"
	else
		say "chromium and chromium-driver are not installed: the browser tests are skipped"
	fi
}

apt_or_advice() {
	if have apt-get && [ "$(id -u)" = 0 ]; then
		apt_install "$@" || err "apt could not install $*: its message is above"
	else
		err "$* is missing: run 'sudo apt install $*', then this command again"
	fi
}

apt_install() {
	say "installing from apt: $*"
	apt_get update && apt_get install "$@" >/dev/null
}

# Waits for Debian's own daily apt, which often runs after a first start.
apt_get() {
	apt_verb=$1
	shift
	apt_said=$(mktemp)
	apt_tries=0
	until DEBIAN_FRONTEND=noninteractive apt-get "$apt_verb" -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" 2>"$apt_said"; do
		apt_tries=$((apt_tries + 1))
		if [ "$apt_tries" -gt 60 ] || ! grep -q 'Could not get lock' "$apt_said"; then
			cat "$apt_said" >&2
			rm -f "$apt_said"
			return 1
		fi
		[ "$apt_tries" != 1 ] || say "another apt is at work: waiting for its end" >&2
		sleep 5
	done
	rm -f "$apt_said"
}

# ---- on a Raspberry Pi -----------------------------------------------------------------------
#
# Every file gets its name by a rename at the end: an interrupted run leaves the old file or the new
# one, and the next run finds out what is left to do.

install_appliance() {
	check_machine
	[ -n "$DRY" ] || take_lock
	finish_packages
	install_packages
	make_user
	convert_flat_install
	add_release
	update_settings
	if [ -n "$IMAGE" ]; then
		finish_image
		return
	fi
	make_pin
	switch_release
	advertise
	fetch_mnist
	print_summary
}

refuse_words() {
	[ $# = 0 ] || err "$VERB knows $OPTIONS only, and '$*' was given"
}

# Prints a change and makes it; with --dry-run it only prints it.
change() {
	CHANGES=$((CHANGES + 1))
	if [ -n "$DRY" ]; then
		say "would do: $1"
	else
		say "$1"
		shift
		"$@"
	fi
}

# ---- before the first change

check_machine() {
	PROBLEMS=0
	if [ "$(id -u)" != 0 ] && [ -z "$DRY" ]; then err "this changes the system: run 'sudo ./setup.sh $VERB'"; fi
	check_system
	check_space
	check_clock
	if [ -n "$(list_missing_packages)" ]; then check_archive; fi
	report_hardware
	if [ "$PROBLEMS" != 0 ]; then
		[ -n "$DRY" ] || err "nothing was changed"
		say "It would stop here. If it did not:"
	fi
}

add_problem() {
	PROBLEMS=$((PROBLEMS + 1))
	printf 'setup.sh: %s\n' "$*" >&2
}

check_system() {
	# shellcheck source=/dev/null
	system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_CODENAME:-}") || system=""
	case $system in
	"debian bookworm" | "debian trixie" | "raspbian bookworm" | "raspbian trixie") ;;
	*) add_problem "this system is '${system:-unknown}': it needs Raspberry Pi OS or Debian, bookworm or trixie" ;;
	esac
	case $(uname -m) in
	armv6l | armv7l | armv8l | aarch64 | x86_64) ;;
	*) add_problem "the processor is '$(uname -m)': it needs armv6l, armv7l, aarch64 or x86_64" ;;
	esac
	have apt-get || add_problem "there is no apt-get here: it needs Raspberry Pi OS or Debian"
	if [ -z "$IMAGE" ] && ! [ -d /run/systemd/system ]; then
		add_problem "systemd does not run here: start the system with it, or use 'install --image' for a card" \
			"that is not running"
	fi
}

check_space() {
	# The packages need most of it; a new release beside the old one needs little.
	if [ -n "$(list_missing_packages)" ]; then needed=500; else needed=50; fi
	for folder in /opt /var; do
		[ -d "$folder" ] || folder=/
		free=$(($(df -Pk "$folder" | awk 'NR == 2 {print $4}') / 1000))
		[ "$free" -ge "$needed" ] ||
			add_problem "$folder has $free MB free, and $needed MB are needed: make room, 'sudo apt clean' may help"
	done
	memory=$(($(awk '/^MemTotal:/ {print $2}' /proc/meminfo) / 1000))
	[ "$memory" -ge 400 ] ||
		add_problem "there are $memory MB of memory, and 400 MB are needed: lower gpu_mem in config.txt," \
			"or take a board with more"
}

# A Pi has no battery for its clock; by one that is behind, an archive's signatures are not valid yet.
check_clock() {
	set_it="connect the network and wait until 'timedatectl' says synchronized, or set it with 'date -s'"
	if [ "$(date +%Y)" -lt 2025 ]; then
		add_problem "the clock shows $(date +%Y-%m-%d), which cannot be: $set_it, then run this again"
		return
	fi
	# Files were written when it was their time, or later.
	later=$(find "$HERE" "$RELEASES" "$STATE" /var/lib/systemd/timesync/clock /etc/fake-hwclock.data \
		-maxdepth 1 -newermt '+5 minutes' -printf '%p is of %TF %TH:%TM' -quit 2>/dev/null |
		LC_ALL=C tr -c '[:print:]' '?') || true
	# By a clock that the network has set such a file is wrong, or the clock was.
	if [ -z "$later" ] || [ "$(timedatectl show -P NTPSynchronized 2>/dev/null)" = yes ]; then return; fi
	add_problem "the clock shows $(date '+%F %H:%M'), and $later: $set_it, then run this again"
}

# Downloads one file with apt's own settings and proxies, and deletes it.
check_archive() {
	have apt-get || return 0
	uri=$(apt-get --print-uris update 2>/dev/null | sed -n "s/^'\([^']*\)'.*/\1/p" | head -n 1) || uri=""
	if [ -z "$uri" ]; then
		add_problem "apt knows no archive: check /etc/apt/sources.list and /etc/apt/sources.list.d"
		return
	fi
	scratch=$(mktemp -d)
	/usr/lib/apt/apt-helper -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1 \
		download-file "$uri" "$scratch/file" >/dev/null 2>&1 ||
		add_problem "the archive cannot be reached ($uri): check the network, then run this again"
	rm -rf "$scratch"
}

report_hardware() {
	if [ -n "$IMAGE" ] || [ "$VERB" != install ]; then return; fi
	if [ -e /dev/video0 ]; then say "camera: seen"; else
		say "camera: none seen (no /dev/video0): the page says so too until one is connected"
	fi
	if [ -e /dev/gpiochip0 ]; then say "pins: seen"; else
		say "pins: none seen (no /dev/gpiochip0): the answer shows on the page only"
	fi
}

take_lock() {
	exec 9>/run/digits-setup.lock
	if ! flock -n 9; then
		say "another setup.sh is at work: waiting for its end"
		flock -w 900 9 || err "another setup.sh has been at work for 15 minutes: look for it with 'ps', end it, run this again"
	fi
}

# ---- packages and user

finish_packages() {
	have dpkg || return 0
	if [ -n "$(dpkg --audit 2>/dev/null)" ] || [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ]; then
		change "packages: finishing what was interrupted (dpkg --configure -a)" repair_packages
	fi
}

repair_packages() {
	export DEBIAN_FRONTEND=noninteractive
	tries=0
	# A dpkg may outlive the apt that was killed: wait for it.
	until said=$(dpkg --force-confold --configure -a 2>&1); do
		tries=$((tries + 1))
		case $said in *lock*) ;; *) break ;; esac
		[ "$tries" -le 150 ] || break
		sleep 2
	done
	apt_get install --fix-broken >/dev/null ||
		err "the interrupted packages cannot be finished: run 'sudo apt --fix-broken install', then this again"
}

list_missing_packages() {
	for package in $PACKAGES; do
		is_installed "$package" || printf '%s ' "$package"
	done
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
	missing=$(list_missing_packages)
	if [ -n "$missing" ]; then change "packages from apt: $missing" download_packages "$missing"; fi
	for package in $OTHER_PACKAGES; do
		if is_installed "$package"; then continue; fi
		if [ -n "$DRY" ]; then
			[ -z "$missing" ] || change "package from apt, if its archive has it: $package"
		elif apt-cache show "$package" >/dev/null 2>&1; then
			change "package from apt: $package" download_packages "$package"
		elif [ -n "$missing" ]; then
			say "$package is not in this system's archive: left out"
		fi
	done
	if [ "$CHANGES" != 0 ] && [ -z "$DRY" ]; then check_blas; fi
}

download_packages() {
	# shellcheck disable=SC2086  # a list of words
	set -- $1
	if [ -z "$LISTS_NEW" ]; then
		apt_get update || err "apt cannot get its lists: check the network, then run this again"
		LISTS_NEW=yes
	fi
	apt_get install "$@" >/dev/null ||
		err "apt could not install $*: its message is above; mend that, then run this again"
}

# OpenBLAS decides a factor of ten on a Pi Zero.
check_blas() {
	python3 -P - <<-'END' || say "numpy does not use OpenBLAS: training takes ten times as long; run 'sudo apt install --reinstall libopenblas0', then 'sudo digits doctor'"
		import sys
		import numpy
		numpy.ones((8, 8)) @ numpy.ones((8, 8))
		sys.exit("openblas" not in open("/proc/self/maps").read())
	END
}

make_user() {
	for group in video gpio; do
		getent group "$group" >/dev/null || change "group: $group" make_group "$group"
	done
	getent passwd digits >/dev/null ||
		change "user: digits" useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin digits
	for group in video gpio; do
		id -nG digits 2>/dev/null | tr ' ' '\n' | grep -qx "$group" ||
			change "group of the user digits: $group" usermod --append --groups "$group" digits
	done
}

make_group() {
	# uninstall --purge reads this list.
	mkdir -p "$(dirname "$GROUPS_MADE")"
	printf '%s\n' "$1" >>"$GROUPS_MADE"
	groupadd --system "$1"
}

# ---- releases

# Prints a release's name: its version and a checksum of its files.
name_release() {
	version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$1/appliance/__init__.py")
	# shellcheck disable=SC2086  # a list of words
	sum=$(cd "$1" && find $PARTS -name __pycache__ -prune -o -type f -print0 | LC_ALL=C sort -z |
		xargs -0 sha256sum | sha256sum | cut -c 1-12)
	printf '%s-%s\n' "$version" "$sum"
}

# Prints the current release's name, or nothing.
current_release() { basename "$(readlink "$CURRENT" 2>/dev/null)"; }

# Old installations have the code in /opt/digits itself: it becomes a release to go back to.
convert_flat_install() {
	if [ -d "$APP/appliance" ] && ! [ -e "$CURRENT" ]; then
		flat=$(name_release "$APP")
		change "the installed code becomes the release $flat" copy_flat_install "$flat"
	fi
}

copy_flat_install() {
	copy_release "$APP" "$1"
	link_current "$1"
}

add_release() {
	NEW=$(name_release "$HERE")
	FRESH=""
	if ! [ -d "$RELEASES/$NEW" ] || [ "$(name_release "$RELEASES/$NEW")" != "$NEW" ]; then
		FRESH=yes
		change "code: $RELEASES/$NEW" copy_release "$HERE" "$NEW"
	fi
	if [ "$(current_release)" != "$NEW" ] && [ -z "$DRY" ]; then test_release; fi
}

copy_release() {
	mkdir -p "$RELEASES"
	rm -rf "$RELEASES"/.new "$RELEASES"/.old
	mkdir "$RELEASES/.new"
	for part in $PARTS; do cp -R "$1/$part" "$RELEASES/.new/"; done
	find "$RELEASES/.new" -name __pycache__ -prune -exec rm -rf {} +
	chmod -R u=rwX,go=rX "$RELEASES/.new"
	# Compiles now: the service may not write here, and would compile at each start.
	python3 -P -m compileall -q "$RELEASES/.new" >/dev/null 2>&1 || true
	# Without this a power cut after the rename could leave empty files.
	sync -f "$RELEASES/.new"
	if [ -e "$RELEASES/$2" ]; then mv "$RELEASES/$2" "$RELEASES/.old"; fi
	mv "$RELEASES/.new" "$RELEASES/$2"
	rm -rf "$RELEASES/.old"
}

# The new code must load and read a picture before it takes over.
test_release() {
	try=$RELEASES/$NEW
	said=$(
		# A start imports only what it needs: compiling shows errors in the other files.
		python3 -P -m compileall -q "$try" 2>&1 &&
			as_digits="runuser -u digits -- env PYTHONPATH=$try timeout 300 python3 -P" &&
			$as_digits -c 'import appliance.commands.run, appliance.loop, appliance.web.server' 2>&1 &&
			$as_digits -m appliance read "$try/data/samples/7-shadow.jpg" 2>&1
	) && return
	rest="nothing runs yet"
	if [ -n "$(current_release)" ] && [ "$(current_release)" != "$NEW" ]; then
		rm -rf "$try"
		rest="$(current_release) goes on as it was"
	fi
	err "the release $NEW does not load and read a sample picture ($(printf '%s\n' "$said" | tail -n 1)); $rest"
}

link_current() {
	ln -sfn "releases/$1" "$APP/.current.new"
	mv -T "$APP/.current.new" "$CURRENT"
	sync "$APP"
	# remove_old_releases sorts by this time.
	touch "$RELEASES/$1"
}

# Makes a release the current one, with its units and its command.
activate_release() {
	if [ "$(current_release)" != "$1" ]; then change "current release: $1" link_current "$1"; fi
	files=$RELEASES/$1
	# With --dry-run the release may not be there yet.
	[ -d "$files" ] || files=$HERE
	install_command
	install_units "$files/systemd"
}

install_command() {
	# readlink: a training that runs keeps the release that it began with.
	wanted="#!/bin/sh
PYTHONPATH=\$(readlink -f $CURRENT) exec python3 -P -m appliance \"\$@\""
	if [ -x "$COMMAND" ] && [ "$(cat "$COMMAND")" = "$wanted" ]; then return; fi
	change "command: $COMMAND" write_command
}

write_command() {
	mkdir -p "$(dirname "$COMMAND")"
	printf '%s\n' "$wanted" | write_durably 755 "$COMMAND"
}

# write_durably MODE FILE: writes its input; a power cut leaves all of it, or what was there before.
write_durably() {
	cat >"$2.new"
	chmod "$1" "$2.new"
	sync "$2.new"
	mv "$2.new" "$2"
	sync "$(dirname "$2")"
}

install_units() {
	changed=""
	for file in "$UNITS"/digits*.service "$UNITS"/digits*.timer "$UNITS"/digits*.path; do
		# What may have to finish the trial goes last: end_trial.
		if [ "$(basename "$file")" = "$TRIAL" ] && [ -e "$TRYING" ]; then continue; fi
		if [ -e "$file" ] && ! [ -e "$1/$(basename "$file")" ]; then
			changed=yes
			change "unit of another release goes: $(basename "$file")" remove_unit "$(basename "$file")"
		fi
	done
	for file in "$1"/digits*.service "$1"/digits*.timer "$1"/digits*.path; do
		if [ -e "$file" ] && ! cmp -s "$file" "$UNITS/$(basename "$file")"; then
			changed=yes
			change "unit: $(basename "$file")" install_unit "$file"
		fi
	done
	if [ -n "$changed" ]; then UNITS_CHANGED=yes; fi
	if [ -n "$changed" ] && [ -z "$DRY$IMAGE" ]; then systemctl daemon-reload; fi
	for unit in $(list_enabled_units "$1"); do
		systemctl is-enabled --quiet "$unit" 2>/dev/null || change "at each start: $unit" systemctl --quiet enable "$unit"
	done
}

list_enabled_units() {
	(cd "$1" && grep -l '^\[Install\]' digits*.*)
}

# shellcheck disable=SC2094  # the release's file is read, and that of the same name in $UNITS written
install_unit() { write_durably 644 "$UNITS/$(basename "$1")" <"$1"; }

remove_unit() {
	systemctl --quiet disable --now "$1" 2>/dev/null || true
	rm -f "$UNITS/$1" "$UNITS/$1.new"
}

# Switches to the new release, restarts and queries the page; on failure rolls back.
switch_release() {
	before=$(current_release)
	UNITS_CHANGED="" OLD="" wish=""
	if [ -e "$TRYING" ]; then
		# An interrupted run has left the name of the last good release.
		read_trying
	elif [ -n "$before" ]; then
		OLD=$before
	fi
	if [ "$OLD" = "$NEW" ]; then OLD="" wish=""; fi
	if [ -n "$DRY" ]; then
		activate_release "$NEW"
		if [ "$before" != "$NEW" ] || [ -n "$FRESH$UNITS_CHANGED" ]; then change "start the service anew, and look at its page"; fi
		return
	fi
	well=$(query_page 1 2>/dev/null) || well=""
	if [ -n "$OLD" ]; then
		# The camera must work only where it worked before.
		if ! [ -e "$TRYING" ] && [ "$well" = ok ]; then wish=ok; fi
		begin_trial
	fi
	activate_release "$NEW"
	if [ "$before" != "$NEW" ] || [ -n "$FRESH$UNITS_CHANGED$SETTINGS_NEW" ] || [ -e "$TRYING" ] || [ -z "$well" ]; then
		change "starting the service" start_units
		why=$(query_page 120 "$wish" 2>&1 >/dev/null) || roll_back
	fi
	end_trial
	rm -f "$GONE_BACK"
	remove_old_releases
}

# Sets OLD and wish.
read_trying() {
	OLD=$(sed -n 1p "$TRYING")
	wish=$(sed -n 2p "$TRYING")
}

# Before anything is switched all is there that the next start needs to finish or to go back.
begin_trial() {
	write_durably 755 "$FINISHER" <"$HERE/setup.sh"
	cmp -s "$RELEASES/$NEW/systemd/$TRIAL" "$UNITS/$TRIAL" || install_unit "$RELEASES/$NEW/systemd/$TRIAL"
	systemctl --quiet enable "$TRIAL"
	rm -f "$GONE_BACK"
	printf '%s\n' "$OLD" "$wish" | write_durably 644 "$TRYING"
}

end_trial() {
	rm -f "$TRYING"
	sync "$APP"
	rm -f "$FINISHER"
	if [ -e "$UNITS/$TRIAL" ] && ! [ -e "$CURRENT/systemd/$TRIAL" ]; then
		# Without --now: it may be what runs this.
		systemctl --quiet disable "$TRIAL" 2>/dev/null || true
		rm -f "$UNITS/$TRIAL"
	fi
}

start_units() {
	systemctl reset-failed digits.service 2>/dev/null || true
	for unit in $(list_enabled_units "$CURRENT/systemd"); do
		# These are for the next start of the machine: one takes settings from the boot partition.
		case $unit in digits-firstboot.service | "$TRIAL") continue ;; esac
		if [ "$unit" = digits.service ]; then
			restart_service
			continue
		fi
		systemctl restart "$unit" || say "$unit did not start: 'journalctl -u $unit' tells why"
	done
}

# Returns when the old process has ended, so that query_page asks the new one: systemctl would wait
# longer for a service that never gets ready.
restart_service() {
	old_process=$(systemctl show -P MainPID digits.service)
	# Of another release: this one need not wait for it (systemd/digits.service).
	rm -f /run/digits/failures
	systemctl restart --no-block digits.service
	tries=0
	while [ "$old_process" != 0 ] && [ "$tries" -lt 60 ] &&
		[ "$(systemctl show -P MainPID digits.service)" = "$old_process" ]; do
		tries=$((tries + 1))
		sleep 0.5
	done
}

# query_page SECONDS [ok]: prints the page's own status, ok or fault, as soon as it answers. Waits at
# most SECONDS, and with ok until the status is ok.
query_page() {
	[ -e "$CURRENT/appliance" ] || return 1
	PYTHONPATH=$(readlink -f "$CURRENT") python3 -B -P - "$@" <<-'END'
		import json, sys, time, urllib.request
		from appliance.errors import SettingsError
		from appliance.settings import load
		seconds, wish = float(sys.argv[1]), "".join(sys.argv[2:])
		end = time.monotonic() + seconds
		why = ""
		while not why or time.monotonic() < end:
		    try:
		        page = load(None).web.local_url
		        urllib.request.urlopen(page, timeout=10).close()
		        with urllib.request.urlopen(f"{page}/api/v1/health", timeout=10) as answer:
		            health = json.load(answer)
		        if wish in ("", health["status"]):
		            print("ok" if health["status"] == "ok" else "fault")
		            sys.exit()
		        why = health["camera"]["fault"] or health["network"]["problem"]
		        why = f"the page answers, but reading worked before and does not now: {why}"
		    except SettingsError as error:
		        sys.exit(f"setup.sh: {error}")
		    except Exception as error:
		        why = f"the page does not answer ({error})"
		    time.sleep(min(1, seconds / 2))
		if seconds > 1:
		    # The text comes from the page, and this may be root's terminal.
		    why = "".join(each if each.isprintable() else "?" for each in why)
		    print(f"setup.sh: after {seconds:.0f} seconds {why}", file=sys.stderr)
		sys.exit(1)
	END
}

# Gives the release $NEW up, because of $why.
roll_back() {
	printf '%s\n' "$why" >&2
	say "what the service said last:"
	journalctl --no-pager -u digits.service -n 8 -o cat >&2 || true
	if [ -z "$OLD" ] || ! [ -d "$RELEASES/$OLD" ]; then
		err "the release $NEW does not run, and there is none before it to go back to: above is why;" \
			"put it right, then run this again"
	fi
	# Decided for good: after a power cut from here on it is not tried again.
	why=$(printf '%s\n' "$why" | sed -n '$s/^setup.sh: //;$p')
	printf '%s\n' "$NEW" "$OLD" "$(date +%s)" "$why" | write_durably 644 "$GONE_BACK"
	go_back
}

# Cut off anywhere, it can be done again.
go_back() {
	say "going back to the release $OLD"
	if ! [ -e "$RELEASES/$OLD/appliance/storage/layout.py" ]; then downgrade_files "$RELEASES/$NEW" || true; fi
	activate_release "$OLD"
	start_units
	end_trial
	query_page 120 >/dev/null || err "the release $NEW does not run, and $OLD, which is the current one again, does not either:" \
		"above is why; 'sudo digits doctor' tells more"
	rm -rf "${RELEASES:?}/$NEW"
	err "the release $NEW does not run: above is why; the release $OLD runs again as before"
}

# digits-trial.service runs this after a start with a note of a release on trial.
finish_update() {
	if [ "$(id -u)" != 0 ]; then err "this changes the system: run 'sudo ./setup.sh finish-update'"; fi
	take_lock
	if ! [ -e "$TRYING" ]; then
		say "No update was broken off."
		return
	fi
	UNITS_CHANGED=""
	NEW=$(current_release)
	read_trying
	if [ "$NEW" = "$OLD" ] || ! [ -d "$RELEASES/$OLD" ]; then
		# Before the switch, or within a way back: only what comes after the link may be left to do.
		say "an update was broken off: the release $NEW goes on"
		activate_release "$NEW"
		if [ -n "$UNITS_CHANGED" ]; then start_units; fi
		end_trial
		return
	fi
	if [ "$(sed -n 1p "$GONE_BACK" 2>/dev/null)" = "$NEW" ]; then
		say "the release $NEW does not run: $(sed -n 4p "$GONE_BACK")"
		go_back
	fi
	say "the update from $OLD to $NEW was broken off before it was known to run: looking at it now"
	activate_release "$NEW"
	if [ -n "$UNITS_CHANGED" ]; then start_units; fi
	# As long as the service has for its start: the whole machine starts beside it.
	why=$(query_page 180 "$wish" 2>&1 >/dev/null) || roll_back
	end_trial
	say "the release $NEW runs"
}

# Moves the files in knowledge/ back to where older releases look for them, with release $1's code.
downgrade_files() {
	systemctl stop digits-retrain.timer digits-retrain.service digits.service
	PYTHONPATH=$(readlink -f "$1") python3 -B -P -m appliance.storage.downgrade "$STATE"
}

# Keeps two old releases, to go back to by hand.
remove_old_releases() {
	kept=0
	# shellcheck disable=SC2045  # the names are this script's own
	for old in $(ls -1t "$RELEASES"); do
		if [ "$old" = "$NEW" ]; then continue; fi
		kept=$((kept + 1))
		if [ "$kept" -le 2 ]; then continue; fi
		change "an old release goes: $old" rm -rf "${RELEASES:?}/$old"
	done
	# Old installations have the code here.
	for part in $PARTS; do
		if [ -e "$APP/$part" ]; then change "an old place of the code goes: $APP/$part" rm -rf "${APP:?}/$part"; fi
	done
}

# ---- settings, PIN, network

run_settings() { PYTHONPATH=$HERE python3 -B -P -m appliance.settings.file "$@"; }

update_settings() {
	SETTINGS_NEW=""
	if ! [ -e "$CONFIG" ]; then
		SETTINGS_NEW=yes
		change "settings: $CONFIG" write_settings new
	elif [ -n "$DRY" ] && ! python3 -c 'import tomlkit' 2>/dev/null; then
		change "settings: new ones, if there are any, are added to $CONFIG as comments"
	elif wanted=$(run_settings complete "$CONFIG"); then
		if [ "$(cat "$CONFIG")" != "$wanted" ]; then
			change "settings: new ones are added to $CONFIG as comments" write_settings complete "$CONFIG"
		fi
	else
		err "$CONFIG is wrong, as said above: correct it, then run this again"
	fi
}

write_settings() {
	mkdir -p "$(dirname "$CONFIG")"
	run_settings "$@" >"$CONFIG.new"
	chmod 644 "$CONFIG.new"
	if [ -e "$CONFIG" ]; then
		# A file with a password in it may be closed to others.
		chmod --reference="$CONFIG" "$CONFIG.new"
		chown --reference="$CONFIG" "$CONFIG.new"
	fi
	sync "$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
}

# Runs before the service starts, which would make a PIN and write it into its log.
make_pin() {
	PIN="The owner's PIN has not changed; 'sudo digits pin --new' makes another."
	# An interrupted run may not have shown its PIN: then make another.
	if [ -s "$STATE/owner.json" ] && ! [ -e "$PIN_UNSHOWN" ]; then return; fi
	change "state: $STATE, with the owner's PIN" write_pin
}

write_pin() {
	mkdir -p "$STATE"
	chown digits:digits "$STATE"
	: >"$PIN_UNSHOWN"
	PIN=$(runuser -u digits -- env PYTHONPATH="$RELEASES/$NEW" python3 -P -m appliance pin --new --state "$STATE") ||
		err "the owner's PIN cannot be kept in $STATE: is the disk full? Make room, then run this again"
}

read_port() {
	PYTHONPATH=$HERE python3 -B -P -c 'from appliance.settings import load; print(load(None).web.port)' 2>/dev/null || echo 8080
}

# Announces the page on the LAN; avahi notices the file by itself.
advertise() {
	PORT=$(read_port)
	wanted=$(sed "s|<port>8080<|<port>$PORT<|" "$HERE/systemd/digits.avahi.xml")
	if [ -e "$AVAHI" ] && [ "$(cat "$AVAHI")" = "$wanted" ]; then return; fi
	change "on the LAN: $AVAHI" write_advertisement
}

write_advertisement() {
	mkdir -p "$(dirname "$AVAHI")"
	printf '%s\n' "$wanted" | write_durably 644 "$AVAHI"
}

# Training needs MNIST, reading does not: an install without a network succeeds.
fetch_mnist() {
	complete=yes
	for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
		[ -e "$STATE/mnist/$name-ubyte" ] || [ -e "$STATE/mnist/$name-ubyte.gz" ] || complete=""
	done
	if [ -n "$complete" ]; then return; fi
	if [ -n "$DRY" ]; then
		change "MNIST into $STATE/mnist, if the network has it"
	elif runuser -u digits -- "$COMMAND" data fetch --to "$STATE/mnist"; then
		CHANGES=$((CHANGES + 1))
	else
		say "MNIST is not here yet: the nightly training does without, and it is asked for again every hour"
	fi
}

print_summary() {
	say ""
	if [ -n "$DRY" ]; then
		if [ "$CHANGES" = 0 ]; then say "Nothing to change."; else say "With --dry-run nothing was changed."; fi
		[ "$PROBLEMS" = 0 ]
		return
	fi
	if [ "$CHANGES" = 0 ]; then say "Nothing to change: the release $NEW runs."; else say "The release $NEW runs."; fi
	behind=:$PORT
	if [ "$PORT" = 80 ]; then behind=""; fi
	say "Its page: http://digits.local$behind or http://$(print_address)$behind"
	say "$PIN"
	rm -f "$PIN_UNSHOWN"
	say "Settings: $CONFIG, then 'sudo systemctl restart digits'. Checks: 'sudo digits doctor'."
}

print_address() {
	found=$(hostname -I 2>/dev/null | cut -d' ' -f1) || found=""
	say "${found:-this machine}"
}

# Ends an install into a card that is not running: its units start with the card.
finish_image() {
	activate_release "$NEW"
	PORT=$(read_port)
	advertise
	say ""
	if [ "$CHANGES" = 0 ]; then say "Nothing to change: the card has the release $NEW."; fi
	say "The appliance starts with this card. Its settings may lie on the boot partition as digits.toml."
	say "The first start writes the owner's PIN into the log: 'journalctl -u digits'; 'sudo digits pin --new' makes another."
}

# ---- update and uninstall

update() {
	refuse_words "$@"
	if [ -n "$DRY" ]; then
		say "would do: fetch the newest version into $HERE (git pull --ff-only). With the version that is there now:"
		install_appliance
		return
	fi
	check_machine
	have git || err "update needs git: run 'apt install git', then this command again"
	say "fetching the newest version"
	# As the checkout's owner: git refuses root, and files of root's would block later pulls.
	owner=$(stat -c %U "$HERE")
	runuser -u "$owner" -- git -C "$HERE" pull --ff-only ||
		err "the newest version could not be fetched; nothing was changed"
	exec "$HERE/setup.sh" install
}

uninstall() {
	purge=""
	if [ "${1:-}" = --purge ]; then
		purge=yes
		shift
	fi
	OPTIONS="--purge, --dry-run and --yes"
	refuse_words "$@"
	if [ "$(id -u)" != 0 ] && [ -z "$DRY" ]; then err "this changes the system: run 'sudo ./setup.sh uninstall${purge:+ --purge}'"; fi
	if [ -n "$purge" ] && [ -z "$DRY$YES" ] && [ -t 0 ]; then
		printf '%s' "This removes the settings, the captures and the networks as well. Type yes to go on: "
		read -r answer || answer=""
		[ "$answer" = yes ] || err "nothing was changed"
	fi
	[ -n "$DRY" ] || take_lock
	for file in "$UNITS"/digits*.service "$UNITS"/digits*.timer "$UNITS"/digits*.path "$UNITS"/digits*.new; do
		if [ -e "$file" ]; then change "unit goes: $(basename "$file")" remove_unit "$(basename "$file")"; fi
	done
	[ -n "$DRY" ] || systemctl daemon-reload 2>/dev/null || true
	for path in "$APP" "$APP.new" "$APP.old" "$COMMAND" "$COMMAND.new" "$AVAHI" "$AVAHI.new" /run/digits; do
		remove_path "$path"
	done
	if [ -n "$purge" ]; then purge_data; fi
	[ -n "$DRY" ] || rm -f /run/digits-setup.lock
	say ""
	if [ -n "$DRY" ]; then
		say "With --dry-run nothing was changed."
	elif [ -n "$purge" ]; then
		say "Removed, with its settings, its readings and its user."
	else
		say "Removed; kept: $(dirname "$CONFIG"), $STATE and the user digits (--purge removes them)."
	fi
	say "Packages from apt are left as they are."
}

purge_data() {
	made=$(cat "$GROUPS_MADE" 2>/dev/null) || made=""
	if getent passwd digits >/dev/null; then change "user goes: digits" userdel digits; fi
	for group in $made; do
		if getent group "$group" >/dev/null; then
			change "group goes: $group" groupdel "$group"
		fi
	done
	remove_path "$STATE"
	remove_path "$(dirname "$CONFIG")"
}

remove_path() {
	if [ -e "$1" ] || [ -L "$1" ]; then change "goes: $1" rm -rf "$1"; fi
}

# The appliance may run meanwhile.
backup() {
	need_installed
	exec "$COMMAND" backup "$@"
}

restore() {
	need_installed
	[ "$(id -u)" = 0 ] || err "this changes the system: run 'sudo ./setup.sh restore $*'"
	# The service starts again even if the restore fails.
	trap 'systemctl --no-block start digits.service digits-retrain.timer' EXIT
	systemctl stop digits-retrain.timer digits-retrain.service digits.service
	"$COMMAND" restore "$@"
}

downgrade_state() {
	need_installed
	[ "$(id -u)" = 0 ] || err "this changes the system: run 'sudo ./setup.sh downgrade-state'"
	downgrade_files "$CURRENT"
	say "The state is laid back, and the appliance stopped: install a version before, as in"
	say "  git checkout VERSION && sudo ./setup.sh install"
}

need_installed() {
	[ -x "$COMMAND" ] || err "the appliance is not installed here: run 'sudo ./setup.sh install' first"
}

doctor() {
	if [ -x "$COMMAND" ]; then
		exec "$COMMAND" doctor "$@"
	fi
	find_libraries
	cd "$HERE"
	exec "$RUN_WITH" -m appliance doctor "$@"
}

# Sets DRY, YES and IMAGE, and REST to all other words.
parse_options() {
	for word in "$@"; do
		case $word in
		--dry-run) DRY=yes ;;
		--yes) YES=yes ;;
		--image) IMAGE=yes ;;
		*) REST="$REST $word" ;;
		esac
	done
}

# Runs what changes the system; the options may stand before the verb or after it.
change_system() {
	parse_options "$@"
	if [ -n "$IMAGE" ] && [ "$VERB" != install ]; then err "--image is for install, not for $VERB"; fi
	umask 022
	if [ -n "$DRY" ]; then export PYTHONDONTWRITEBYTECODE=1; fi
	# A lost Wi-Fi connection closes the terminal: go on, so that the update ends or rolls back.
	trap '' HUP
	trap 'err "interrupted: run this command again, it goes on from here"' INT TERM
	# shellcheck disable=SC2086  # words without blanks
	set -- $REST
	case $VERB in
	install)
		OPTIONS="--image, $OPTIONS"
		refuse_words "$@"
		install_appliance
		;;
	finish-update) finish_update ;;
	*) "$VERB" "$@" ;;
	esac
}

main() {
	before=""
	while :; do
		case ${1:-} in
		--dry-run | --yes | --image)
			before="$before $1"
			shift
			;;
		*) break ;;
		esac
	done
	VERB=${1:-}
	[ $# = 0 ] || shift
	# shellcheck disable=SC2086  # words without blanks
	case $VERB in
	install | update | uninstall) change_system $before "$@" ;;
	finish-update)
		[ -z "$before$*" ] || err "finish-update takes no options, and '${before# }$*' was given"
		change_system
		;;
	demo | test | doctor | backup | restore | downgrade-state) [ -z "$before" ] || err "$VERB changes nothing:$before is for install, update and uninstall" ;;
	esac
	case $VERB in
	demo) demo "$@" ;;
	test) run_tests "$@" ;;
	install | update | uninstall | finish-update) ;;
	backup) backup "$@" ;;
	restore) restore "$@" ;;
	downgrade-state) downgrade_state ;;
	doctor) doctor "$@" ;;
	"" | help | -h | --help) usage ;;
	*)
		usage >&2
		err "there is no verb '$VERB'"
		;;
	esac
}

main "$@"
