// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/backend.hpp"
#include "cli/input.hpp"
#include "cli/number.hpp"
#include "cli/suggest.hpp"
#include "cli/tool.hpp"
#include "script.hpp"
#include "words.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;

constexpr std::string_view kName = "pcienic-ctl";
constexpr std::size_t kLongestScript = std::size_t{16} << 20;
constexpr std::string_view kRun = "run";
constexpr std::string_view kWith = "with";  // the operation whose command line ends in another one

constexpr std::string_view kExamples =
    "  pcienic-ctl read STATUS                       the value alone, for scripts\n"
    "  pcienic-ctl write SCRATCH=0xdeadbeef          by name; NAME.FIELD=V changes the field only\n"
    "  pcienic-ctl write IRQ_MASK0=0x8 : irq 3 --timeout 1s\n"
    "  pcienic-ctl -s 00:04.0 read BAR0:0x0.w        any device, by offset\n"
    "  pcienic-ctl -s 00:04.0 with vfio-pci -- ./my-driver    bound for as long as the program runs\n";

constexpr std::string_view kNotes =
    "Several operations: separate them with ' : '. VFIO resets the device whenever it is opened and closed, so what "
    "one\n"
    "invocation writes is gone in the next, except for sticky registers (SCRATCH, SCRATCH64). Operations of one "
    "invocation\n"
    "see the same open device. All of them are checked before the first runs.\n"
    "\n"
    "Numbers: 42, 0x2a, 0b101010, 1_000, 64k; a leading 0 is decimal. Widths: .b .h .w .q are 8, 16, 32, 64 bits, as "
    "in\n"
    "devmem (setpci's .W is 16); also .8 .16 .32 .64. Ranges: START+BYTES.";

/// A command line between two separators, parsed.
class Parser {
  public:
    /// Only the first command line of an invocation takes global options: those behind a later operation, or in a
    /// script, would look like that operation's own.
    enum class Globals { taken, refused };

    Parser(GlobalOptions& options, cli::Output& output) {
        cli::dress(app_, kName, kExamples, "pcienic-ls(1), pcienic-irqtest(1)");
        app_.description("Reads and writes a PCI device's registers through VFIO, by name, field or offset.");
        app_.allow_extras();
        app_.require_subcommand(0, 1);  // else the last of several would be the one that is run
        cli::Options line{app_};
        options.selector.add_options(app_);
        output.add_options(app_);
        cli::add_backend_option(app_, options.backend);
        line.add_option(
                "--bar", [&options](const std::string& text) { options.bar = cli::parse_index(text, 5); },
                "BAR of offsets that name none; default 0")
            .type_name("N");
        line.add_flag("-n,--dry-run", options.dry_run, "Say what would be done, and touch no device");
        line.add_flag("-v,--verbose", options.verbose, "Report each access on stderr");
        add_trace_options(line, options.trace);
        add_register_operations(line, chosen_);
        add_dump_operation(line, chosen_);
        add_observe_operations(line, chosen_);
        add_diff_operation(line, chosen_);
        add_device_operations(line, chosen_);
        add_binding_operations(line, chosen_);
        add_with_operation(line, chosen_);
        add_doctor_operation(line, chosen_);
        add_dma_operation(line, chosen_);
        add_run_operation(line, chosen_);
        add_trace_operation(line, chosen_);
        // Commands copy the footer when they are added; the notes are for the tool's own help only.
        app_.footer(fmt::format("{}\n\n{}", kNotes, app_.get_footer()));
    }

    /// Nothing where help or the version was asked for, and shown.
    Chosen parse(const Words& arguments, std::ostream& out, Globals globals) {
        refuse_joined(app_, arguments);
        refuse_behind_dashes(app_, arguments);
        if (cli::parse(app_, arguments, out)) return nullptr;
        if (globals == Globals::refused) refuse_globals();
        const std::vector<std::string> extras = app_.remaining();
        if (!extras.empty() && chosen_)
            throw Failure{Exit::usage, fmt::format("'{}': is {}: see pcienic-ctl {} --help", extras.front(),
                                                   extras.front().starts_with('-') ? "no option of it" : "one too many",
                                                   app_.get_subcommands().front()->get_name())};
        if (!extras.empty()) unknown_command(extras.front());
        if (!chosen_)
            throw Failure{Exit::usage, "no command: name one, as in 'pcienic-ctl read STATUS'; see pcienic-ctl --help"};
        return chosen_;
    }

    [[nodiscard]] const CLI::App& app() const { return app_; }

  private:
    void refuse_globals() const {
        for (const CLI::Option* option : app_.get_options()) {
            if (option->count() == 0) continue;
            throw Failure{Exit::usage, fmt::format("{}: is for the whole invocation: global options belong before the "
                                                   "first operation",
                                                   option->get_name())};
        }
    }

    [[noreturn]] void unknown_command(const std::string& name) const {
        std::vector<std::string> names;
        for (const CLI::App* command : app_.get_subcommands(nullptr)) names.push_back(command->get_name());
        throw Failure{Exit::usage, fmt::format("'{}': unknown command{}: pcienic-ctl --help lists them", name,
                                               cli::did_you_mean(name, names))};
    }

    CLI::App app_;
    Chosen chosen_;
};

struct Split {
    std::vector<Words> operations{1};
    Words command;  ///< of another program: not ours to read
};

Split split_operations(const CLI::App& app, const Words& arguments) {
    Split split;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        Words& last = split.operations.back();
        if (arguments[i] == ":") {
            split.operations.emplace_back();
        } else if (arguments[i] == "--" && operation_of(app, last) == kWith) {
            split.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
            break;
        } else {
            last.push_back(arguments[i]);
        }
    }
    return split;
}

/// What any of them heeds.
Heeds heeded_by(const std::vector<Chosen>& operations) {
    Heeds all = kHeedsNothing;
    for (const Chosen& operation : operations) all = all | operation->heeds();
    return all;
}

/// An option that does nothing is a mistake: a user who gives --trace expects a file.
void refuse_unheeded(const Session& session, const std::vector<Chosen>& operations) {
    const Heeds heeds = heeded_by(operations);
    const GlobalOptions& options = session.options();
    const auto refuse_unless = [](bool is_fine, std::string_view option, std::string_view why) {
        if (!is_fine) throw Failure{Exit::usage, fmt::format("{}: has no effect here, {}: leave it out", option, why)};
    };
    refuse_unless(heeds.selection || !options.selector.given(), "-s, -d", "where no device is needed");
    refuse_unless(heeds.backend || options.backend == "auto", "--backend", "where no device is opened");
    refuse_unless(heeds.bar || !options.bar, "--bar", "where no operand is an offset without a BAR");
    const bool is_traced = heeds.trace && !options.dry_run;
    refuse_unless(is_traced || options.trace.file.empty(), "--trace", "where no device is opened");
    refuse_unless(heeds.form || session.output().is_text(), "-o, --json", "where nothing is printed in that form");
}

Exit execute(Session& session, const std::vector<Chosen>& operations) {
    for (const Chosen& operation : operations) operation->prepare(session);
    refuse_unheeded(session, operations);
    for (const Chosen& operation : operations) {
        if (session.options().dry_run) {
            operation->explain(session);
        } else if (const Exit code = operation->run(session); code != Exit::ok) {
            return code;
        }
    }
    return Exit::ok;
}

/// The operations of a line of a script, of which there may be several, as on a command line.
std::vector<Chosen> parse_line(const CLI::App& grammar, const Words& words) {
    GlobalOptions options;  // stay as they are: a line has none
    std::ostringstream ignored;
    cli::Output output{std::string{kName}, ignored};
    std::vector<Chosen> operations;
    for (const Words& part : split_operations(grammar, words).operations) {
        const Chosen operation = Parser{options, output}.parse(part, ignored, Parser::Globals::refused);
        if (!operation) throw Failure{Exit::usage, "--help, -h and --version show text: a script has no use for them"};
        if (operation_of(grammar, part) == kRun)
            throw Failure{Exit::usage, "a script cannot run another: put its lines here"};
        if (!operation->can_share())
            throw Failure{Exit::usage, fmt::format("a script cannot leave the device to another program: run it "
                                                   "from `pcienic-ctl {}`",
                                                   kWith)};
        operations.push_back(operation);
    }
    return operations;
}

/// An operation of a script, and where it stands.
struct ScriptOperation {
    Chosen operation;
    std::string place;  ///< "my-script:3"
};

/// Calls `act`, whose errors name the place.
template <class Act>
auto at(const std::string& place, Act&& act) {
    try {
        return act();
    } catch (const Failure& failure) {
        throw Failure{failure.code(), fmt::format("{}: {}", place, failure.what())};
    } catch (const uiovfio::Error& error) {
        throw Failure{cli::exit_for(error), fmt::format("{}: {}", place, error.what())};
    }
}

std::vector<ScriptOperation> parse_script(const std::string& text, const std::string& name) {
    GlobalOptions options;
    std::ostringstream ignored;
    cli::Output output{std::string{kName}, ignored};
    const Parser grammar{options, output};
    std::vector<ScriptOperation> operations;
    for (const ScriptLine& line : script_lines(text, name)) {
        const std::string place = fmt::format("{}:{}", name, line.number);
        for (Chosen& operation : at(place, [&] { return parse_line(grammar.app(), line.words); }))
            operations.push_back({std::move(operation), place});
    }
    return operations;
}

/// `run FILE`: a script whose lines are operations of this invocation.
class Run : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("file", file_, "A line an operation, # begins a comment; - is stdin")
            .required()
            .type_name("FILE");
    }

    void prepare(Session& session) override {
        operations_ = parse_script(file_ == "-" ? cli::read_all(session.world().in, "stdin", kLongestScript)
                                                : cli::read_file(file_, kLongestScript),
                                   file_);
        session.collect();
        for (const auto& [operation, place] : operations_) at(place, [&] { operation->prepare(session); });
    }

    void explain(Session& session) override {
        for (const auto& [operation, place] : operations_) at(place, [&] { operation->explain(session); });
    }

    Exit run(Session& session) override {
        for (const auto& [operation, place] : operations_) {
            if (const Exit code = at(place, [&] { return operation->run(session); }); code != Exit::ok) return code;
        }
        return Exit::ok;
    }

    [[nodiscard]] Heeds heeds() const override {
        Heeds all = kHeedsNothing;
        for (const auto& [operation, place] : operations_) all = all | operation->heeds();
        return all;
    }

  private:
    std::string file_;
    std::vector<ScriptOperation> operations_;
};

Exit run_checked(const std::vector<std::string>& arguments, World& world) {
    GlobalOptions options{.selector = cli::DeviceSelector{world.root}};
    cli::Output output{std::string{kName}, world.out};
    std::vector<Chosen> operations;
    Split split = split_operations(Parser{options, output}.app(), arguments);
    options.command = std::move(split.command);
    for (const Words& part : split.operations) {
        const auto globals = operations.empty() ? Parser::Globals::taken : Parser::Globals::refused;
        std::ostringstream shown;
        Chosen operation = Parser{options, output}.parse(part, shown, globals);
        if (!operation && split.operations.size() > 1)
            throw Failure{Exit::usage,
                          "--help, -h and --version show text and do nothing else: leave out the other "
                          "operations"};
        if (!operation) {
            world.out << shown.str();
            return Exit::ok;
        }
        operations.push_back(std::move(operation));
    }
    cli::check_backend(options.backend, options.selector);
    if (operations.size() > 1 && !std::ranges::all_of(operations, &Operation::can_share))
        throw Failure{Exit::usage, fmt::format("{}: leaves the device to another program: give it an invocation of its "
                                               "own",
                                               kWith)};
    Session session{world, options, output};
    if (operations.size() > 1) session.collect();
    try {
        const Exit code = execute(session, operations);
        session.flush();
        const bool is_kept = session.finish();
        return code == Exit::ok && !is_kept ? Exit::failure : code;
    } catch (...) {
        session.flush_what_there_is();  // what was read before the failure is still worth having
        static_cast<void>(session.finish());
        throw;
    }
}

}  // namespace

void add_run_operation(cli::Options& line, Chosen& chosen) {
    add_operation<Run>(line, chosen, std::string{kRun}, "Run the operations of a file, all on the same open device");
}

int run(const std::vector<std::string>& arguments, World& world) {
    return cli::guarded(kName, world.out, world.err, [&] { return run_checked(arguments, world); });
}

}  // namespace pcienic::ctl
