// Players: all sounds of a track on the clock of one AudioContext. To switch, the new sound begins
// where the old one is at that instant, while the old one fades out. Sounds come as scripts, which a
// page opened from disk may load: asteroidReport.receive is what they call.
(function () {
  "use strict";
  var FADE = 0.012; // seconds of a cross-fade: no click, and too short to be heard as one
  var AHEAD = 0.03; // seconds from the wish to the switch
  var context = null;
  var waiting = {}; // key of a clip -> what to do with its sound
  var current = null; // the player that plays

  function receive(key, text) {
    var binary = atob(text), bytes = new Uint8Array(binary.length);
    for (var i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
    var done = waiting[key];
    delete waiting[key];
    if (done) done(bytes.buffer);
  }

  function load(key, address) {
    return new Promise(function (resolve, reject) {
      var script = document.createElement("script");
      waiting[key] = resolve;
      script.onload = function () { script.remove(); };
      script.onerror = function () { script.remove(); reject(new Error(address + " cannot be loaded")); };
      script.src = address;
      document.head.appendChild(script);
    }).then(function (bytes) { return context.decodeAudioData(bytes); });
  }

  function clock(seconds, tenths) {
    var whole = Math.floor(seconds / 60) + ":" + String(Math.floor(seconds % 60)).padStart(2, "0");
    return tenths ? whole + "." + Math.floor((seconds * 10) % 10) : whole;
  }

  function Player(element) {
    var self = this;
    this.element = element;
    this.seconds = parseFloat(element.dataset.seconds);
    this.playing = false;
    this.looping = true; // as the sound that plays does
    this.offset = 0; // where it is, or was when it began to play
    this.began = 0; // when that was, on the context's clock
    this.voice = null;
    this.buffers = new Map(); // key of a clip -> promise of its samples
    this.switches = Array.from(element.querySelectorAll("[data-clip]"));
    this.rows = Array.from(element.querySelectorAll("tbody tr")).map(function (row) {
      return Array.from(row.cells).slice(1).map(function (cell) { return cell.querySelector("button"); });
    });
    this.find("[data-play]").addEventListener("click", function () { self.toggle(); });
    this.find("[data-position]").addEventListener("input", function () { self.seek(parseFloat(this.value)); });
    this.find("[data-level]").addEventListener("change", function () { self.level(); });
    this.find("[data-loop]").addEventListener("change", function () { self.relocate(); });
    this.switches.forEach(function (button) {
      button.addEventListener("click", function () { self.choose(button); });
    });
    element.querySelectorAll(".picture").forEach(function (picture) {
      picture.addEventListener("click", function (event) {
        var box = picture.getBoundingClientRect();
        self.seek(self.seconds * (event.clientX - box.left) / box.width);
      });
    });
    element.addEventListener("keydown", function (event) { self.key(event); });
    this.choose(this.switches[0]);
  }

  Player.prototype.find = function (selector) { return this.element.querySelector(selector); };

  Player.prototype.loops = function () { return this.find("[data-loop]").checked; };

  Player.prototype.position = function (time) {
    if (!this.playing) return this.offset;
    var at = this.offset + (time === undefined ? context.currentTime : time) - this.began;
    return this.looping ? at % this.seconds : Math.min(at, this.seconds);
  };

  Player.prototype.buffer = function (button) {
    var key = button.dataset.clip;
    if (!this.buffers.has(key)) {
      var loading = load(key, button.dataset.script), buffers = this.buffers;
      loading.catch(function () { buffers.delete(key); });
      this.buffers.set(key, loading);
    }
    return this.buffers.get(key);
  };

  Player.prototype.choose = function (button) {
    var title = button.dataset.title;
    this.switches.forEach(function (other) { other.setAttribute("aria-pressed", String(other === button)); });
    this.chosen = button;
    this.find("[data-chosen]").src = button.dataset.picture;
    this.find("[data-chosen]").alt = "Spectrogram of " + title;
    this.find("[data-caption]").textContent = title;
    return this.playing ? this.sound() : Promise.resolve();
  };

  Player.prototype.gain = function () {
    return this.find("[data-level]").checked ? Math.pow(10, parseFloat(this.chosen.dataset.gain) / 20) : 1;
  };

  // Let what is chosen sound from now on, at the place where the player is.
  Player.prototype.sound = function () {
    var self = this, button = this.chosen;
    return this.buffer(button).then(function (buffer) {
      if (!self.playing || self.chosen !== button) return;
      if (self.voice && self.voice.button === button) return;
      self.begin(buffer, button);
    }, function (error) { self.say(error.message); });
  };

  Player.prototype.begin = function (buffer, button) {
    var when = context.currentTime + AHEAD;
    var source = context.createBufferSource(), gain = context.createGain();
    source.buffer = buffer;
    source.loop = this.looping;
    source.loopEnd = Math.min(this.seconds, buffer.duration);
    gain.gain.setValueAtTime(0, when);
    gain.gain.linearRampToValueAtTime(this.gain(), when + FADE);
    source.connect(gain).connect(context.destination);
    source.start(when, this.position(when));
    this.silence(when);
    this.voice = { source: source, gain: gain, button: button };
  };

  Player.prototype.silence = function (when) {
    if (!this.voice) return;
    var level = this.voice.gain.gain;
    level.cancelScheduledValues(when);
    level.setValueAtTime(level.value, when);
    level.linearRampToValueAtTime(0, when + FADE);
    this.voice.source.stop(when + 2 * FADE);
    this.voice = null;
  };

  Player.prototype.play = function () {
    var self = this;
    if (!context) context = new (window.AudioContext || window.webkitAudioContext)();
    if (current && current !== this) { current.pause(); current.buffers.clear(); }
    current = this;
    this.say("loading");
    return Promise.all([context.resume(), this.buffer(this.chosen)]).then(function () {
      self.say("");
      if (self.playing || current !== self) return;
      if (self.offset >= self.seconds - 0.01) self.offset = 0;
      // The clock of the player begins with its sound.
      self.began = context.currentTime + AHEAD;
      self.looping = self.loops();
      self.playing = true;
      self.show();
      return self.sound().then(function () { self.prepare(); });
    }).catch(function (error) { self.say(error.message); });
  };

  // Load the other sounds one after the other, so that switching takes no time.
  Player.prototype.prepare = function () {
    var self = this;
    this.switches.reduce(function (before, button) {
      return before.then(function () { return current === self ? self.buffer(button) : null; });
    }, Promise.resolve()).catch(function (error) { self.say(error.message); });
  };

  Player.prototype.pause = function () {
    if (!this.playing) return;
    this.offset = Math.max(0, this.position());
    this.playing = false;
    this.silence(context.currentTime);
    this.show();
  };

  Player.prototype.toggle = function () { return this.playing ? this.pause() : this.play(); };

  Player.prototype.seek = function (position) {
    var at = Math.max(0, Math.min(position, this.seconds));
    if (this.playing) this.relocate(at);
    else { this.offset = at; this.show(); }
  };

  // Go on elsewhere, or with the loop as it is now.
  Player.prototype.relocate = function (position) {
    if (!this.playing) return;
    this.offset = position === undefined ? this.position() : position;
    this.looping = this.loops();
    this.began = context.currentTime + (position === undefined ? 0 : AHEAD);
    this.silence(context.currentTime + AHEAD);
    this.sound();
  };

  Player.prototype.level = function () {
    if (this.voice) this.voice.gain.gain.setTargetAtTime(this.gain(), context.currentTime, FADE);
  };

  Player.prototype.say = function (text) { this.find("[data-status]").textContent = text; };

  Player.prototype.show = function () {
    var at = Math.max(0, this.position()), slider = this.find("[data-position]");
    this.element.classList.toggle("playing", this.playing);
    this.find("[data-play]").setAttribute("aria-label", this.playing ? "Pause" : "Play");
    slider.value = at;
    slider.setAttribute("aria-valuetext", at.toFixed(1) + " seconds");
    this.find("[data-time]").textContent = clock(at, true) + " / " + clock(Math.round(this.seconds));
    this.element.style.setProperty("--played", (100 * at) / this.seconds + "%");
  };

  Player.prototype.step = function (rows) {
    var chosen = this.chosen, all = this.rows, row = all.findIndex(function (r) { return r.includes(chosen); });
    var column = row === 0 ? (this.column || 0) : all[row].indexOf(chosen);
    this.column = column;
    for (var next = row + rows; next >= 0 && next < all.length; next += rows) {
      var button = next === 0 ? all[0][0] : all[next][column];
      if (button) { this.move(button); return; }
    }
  };

  Player.prototype.source = function (number) {
    if (number === 0) { this.move(this.switches[0]); return; }
    var chosen = this.chosen, row = this.rows.findIndex(function (r) { return r.includes(chosen); });
    var button = this.rows[Math.max(row, 1)][number - 1];
    if (button) this.move(button);
  };

  // Choose by key: the focus goes along where it was on a switch.
  Player.prototype.move = function (button) {
    if (this.switches.includes(document.activeElement)) button.focus();
    this.choose(button);
  };

  Player.prototype.key = function (event) {
    var target = event.target, key = event.key, level = this.find("[data-level]");
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (key === " ") {
      // On a switch that is not chosen, and on all else that has a use for it, the key is theirs.
      if (target.matches("input[type=checkbox], [data-play]")) return;
      if (this.switches.includes(target) && target !== this.chosen) return;
      this.toggle();
    } else if (/^[0-9]$/.test(key)) this.source(parseInt(key, 10));
    else if (key === "ArrowUp") this.step(-1);
    else if (key === "ArrowDown") this.step(1);
    else if (key === "ArrowLeft") this.seek(this.position() - 1);
    else if (key === "ArrowRight") this.seek(this.position() + 1);
    else if (key.toLowerCase() === "l") { level.checked = !level.checked; this.level(); }
    else return;
    event.preventDefault();
  };

  function draw() {
    if (current && current.playing) {
      if (!current.looping && current.position() >= current.seconds) { current.pause(); }
      current.show();
    }
    requestAnimationFrame(draw);
  }

  window.asteroidReport = { receive: receive, context: function () { return context; } };
  window.asteroidReport.players = Array.from(document.querySelectorAll("[data-player]")).map(function (element) {
    return new Player(element);
  });
  if (window.asteroidReport.players.length) requestAnimationFrame(draw);
})();
