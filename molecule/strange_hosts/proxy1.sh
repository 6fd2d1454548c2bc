# A umask of 077: of PAM's sessions, of the account's shell and of root's.
sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs
sed -i 's/pam_umask.so.*/pam_umask.so umask=0077/' /etc/pam.d/common-session*
echo 'umask 077' | tee -a ~root/.profile ~root/.bashrc > /dev/null
sed -i '1i umask 077' /home/deploy/.bashrc

# A German locale, made of the one that is there: what programs say is in German, sudo's questions too.
cp -r /usr/lib/locale/C.utf8 /usr/lib/locale/de_DE.utf8
printf 'LANG=de_DE.UTF-8\nLC_ALL=de_DE.UTF-8\n' | tee /etc/default/locale > /etc/environment

# A password for sudo, which sets the umask itself and hands the locale on.
echo deploy:geheim | chpasswd
cat > /etc/sudoers.d/deploy << 'END'
Defaults umask=0077, umask_override
Defaults env_keep += "LANG LC_ALL"
deploy ALL=(ALL) ALL
END

# No programs from the folders of temporary files.
mount -t tmpfs -o noexec,nosuid,mode=1777 tmpfs /tmp
mount -t tmpfs -o noexec,nosuid,mode=1777 tmpfs /var/tmp

# What passes for an Apache.
mkdir -p /var/www/html
echo the old page > /var/www/html/index.html
cat > /etc/systemd/system/apache2.service << 'END'
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /var/www/html 80
[Install]
WantedBy=multi-user.target
END
systemctl enable --quiet --now apache2.service
