<?php

use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Schema;

return new class extends Migration
{
    public function up(): void
    {
        Schema::create('tickets', function (Blueprint $table): void {
            $table->id();
            $table->string('kind', 20);
            $table->string('name', 60);
            $table->unsignedInteger('pence');
            $table->timestamps();
            $table->index('created_at');
        });
        // This morning's ledger, so that the first visitor sees what one looks like.
        $morning = [['cart', 'Wat the carter', 4], ['walker', 'Maud of the Mill', 1], ['drove', 'Hob and forty sheep', 8]];
        foreach ($morning as [$kind, $name, $pence]) {
            $now = now();
            DB::table('tickets')->insert(compact('kind', 'name', 'pence') + ['created_at' => $now, 'updated_at' => $now]);
        }
    }

    public function down(): void
    {
        Schema::dropIfExists('tickets');
    }
};
