echo 'Defaults requiretty' >> /etc/sudoers.d/deploy

# SSH on another port.
echo 'Port 2222' > /etc/ssh/sshd_config.d/port.conf
systemctl restart ssh.service

# An nginx that serves something.
rm -f /etc/nginx/sites-enabled/default
printf 'server {\n    listen 80;\n    return 200 "the old site";\n}\n' > /etc/nginx/sites-available/old
ln -s ../sites-available/old /etc/nginx/sites-enabled/old
systemctl enable --quiet --now nginx.service

# A package is missing, and somebody else is at it: for the time that cloud-init takes.
dpkg --remove --force-depends logrotate > /dev/null
systemd-run --quiet --unit=unattended /usr/bin/python3 -c '
import fcntl, time
lock = open("/var/lib/dpkg/lock-frontend", "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
time.sleep(25)'
