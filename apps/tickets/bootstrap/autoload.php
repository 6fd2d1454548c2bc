<?php

// Composer's autoloader where the dependencies are vendored, else that of Debian's package and the application's own.

if (is_file(__DIR__.'/../vendor/autoload.php')) {
    require __DIR__.'/../vendor/autoload.php';

    return;
}

require 'Illuminate/autoload.php';

spl_autoload_register(function (string $class): void {
    if (str_starts_with($class, 'App\\')) {
        require __DIR__.'/../app/'.strtr(substr($class, 4), '\\', '/').'.php';
    }
});
