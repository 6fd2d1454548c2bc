<?php

namespace App\Http\Controllers;

use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Http\Response;
use Illuminate\Routing\Controller;

/** What machines ask: who answers, and whether all is well. */
class IdentityController extends Controller
{
    private const LONGEST_WAIT = 5_000;

    /** Which host and which release answers: shown on each page, because that is what the demo is about. */
    public static function identity(): array
    {
        return ['app' => config('app.name'), 'release' => config('app.release'), 'host' => gethostname()];
    }

    /** `?wait=3000` answers after three seconds, so that a request can be under way while the unit stops. */
    public function show(Request $request): JsonResponse
    {
        $end = microtime(true) + min(max($request->integer('wait'), 0), self::LONGEST_WAIT) / 1000;
        while (($left = $end - microtime(true)) > 0) {
            usleep((int) (1e6 * $left)); // A signal to php-fpm ends it early.
        }

        return response()->json(self::identity())->header('Cache-Control', 'no-store');
    }

    public function health(): Response
    {
        return response("ok\n")->header('Content-Type', 'text/plain')->header('Cache-Control', 'no-store');
    }
}
