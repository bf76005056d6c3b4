// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <istream>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/backend.hpp"
#include "cli/input.hpp"
#include "cli/number.hpp"
#include "cli/suggest.hpp"
#include "cli/tool.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;

constexpr std::string_view kName = "pcienic-ctl";
constexpr std::size_t kLongestScript = std::size_t{16} << 20;
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
        options.selector.add_options(app_);
        output.add_options(app_);
        cli::add_backend_option(app_, options.backend);
        app_.add_option_function<std::string>(
                "--bar", [&options](const std::string& text) { options.bar = cli::parse_ranges(text, 5).front(); },
                "BAR of offsets that name none; default 0")
            ->type_name("N");
        app_.add_flag("-n,--dry-run", options.dry_run, "Say what would be done, and touch no device");
        app_.add_flag("-v,--verbose", options.verbose, "Tell of each access on stderr");
        add_trace_options(app_, options.trace);
        add_register_operations(app_, chosen_);
        add_observe_operations(app_, chosen_);
        add_device_operations(app_, chosen_);
        add_binding_operations(app_, chosen_);
        add_with_operation(app_, chosen_);
        add_doctor_operation(app_, chosen_);
        add_dma_operation(app_, chosen_);
        add_run_operation(app_, chosen_);
        add_trace_operation(app_, chosen_);
        // Commands copy the footer when they are added; the notes are for the tool's own help only.
        app_.footer(fmt::format("{}\n\n{}", kNotes, app_.get_footer()));
    }

    /// Nothing where help or the version was asked for, and shown.
    Chosen parse(const std::vector<std::string>& arguments, std::ostream& out, Globals globals) {
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
    std::vector<std::vector<std::string>> operations{1};
    std::vector<std::string> command;  ///< of another program: not ours to read
};

Split split_operations(const std::vector<std::string>& arguments) {
    Split split;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::vector<std::string>& last = split.operations.back();
        if (arguments[i] == ":") {
            split.operations.emplace_back();
        } else if (arguments[i] == "--" && std::ranges::find(last, kWith) != last.end()) {
            split.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
            break;
        } else {
            last.push_back(arguments[i]);
        }
    }
    return split;
}

/// A line of a script is a command line without the program's name; quotes are not needed and have no meaning.
std::vector<std::string> words(const std::string& line) {
    std::istringstream stream{line.substr(0, line.find('#'))};
    return {std::istream_iterator<std::string>{stream}, {}};
}

Exit execute(Session& session, const std::vector<Chosen>& operations) {
    for (const Chosen& operation : operations) operation->prepare(session);
    for (const Chosen& operation : operations) {
        if (session.options().dry_run) {
            operation->explain(session);
        } else if (const Exit code = operation->run(session); code != Exit::ok) {
            return code;
        }
    }
    return Exit::ok;
}

/// `run FILE`: a script whose lines are operations of this invocation.
class Run : public Operation {
  public:
    void add_options(CLI::App& app) {
        app.add_option("file", file_, "A line an operation, # begins a comment; - is stdin")
            ->required()
            ->type_name("FILE");
    }

    void prepare(Session& session) override {
        std::istringstream script{file_ == "-" ? cli::read_all(session.world().in, "stdin", kLongestScript)
                                               : cli::read_file(file_, kLongestScript)};
        operations_ = parse_script(script, file_);
        session.collect();
        for (const Chosen& operation : operations_) operation->prepare(session);
    }

    void explain(Session& session) override {
        for (const Chosen& operation : operations_) operation->explain(session);
    }

    Exit run(Session& session) override {
        for (const Chosen& operation : operations_) {
            if (const Exit code = operation->run(session); code != Exit::ok) return code;
        }
        return Exit::ok;
    }

  private:
    std::string file_;
    std::vector<Chosen> operations_;
};

Exit run_checked(const std::vector<std::string>& arguments, World& world) {
    GlobalOptions options;
    cli::Output output{std::string{kName}, world.out};
    std::vector<Chosen> operations;
    Split split = split_operations(arguments);
    options.command = std::move(split.command);
    for (const std::vector<std::string>& part : split.operations) {
        const auto globals = operations.empty() ? Parser::Globals::taken : Parser::Globals::refused;
        Chosen operation = Parser{options, output}.parse(part, world.out, globals);
        if (!operation) return Exit::ok;
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
        session.flush();  // what was read before the failure is still worth having
        static_cast<void>(session.finish());
        throw;
    }
}

}  // namespace

std::vector<Chosen> parse_script(std::istream& script, const std::string& name) {
    std::vector<Chosen> operations;
    std::string line;
    for (unsigned number = 1; std::getline(script, line); ++number) {
        const std::vector<std::string> arguments = words(line);
        if (arguments.empty()) continue;
        GlobalOptions options;  // stay as they are: a line has none
        std::ostringstream ignored;
        cli::Output output{std::string{kName}, ignored};
        try {
            const Chosen operation = Parser{options, output}.parse(arguments, ignored, Parser::Globals::refused);
            if (!operation) throw Failure{Exit::usage, "a script has no use for help"};
            if (arguments.front() == "run")
                throw Failure{Exit::usage, "a script cannot run another: put its lines here"};
            if (!operation->can_share())
                throw Failure{Exit::usage, fmt::format("a script cannot leave the device to another program: run it "
                                                       "from `pcienic-ctl {}`",
                                                       kWith)};
            operations.push_back(operation);
        } catch (const Failure& failure) {
            throw Failure{failure.code(), fmt::format("{}:{}: {}", name, number, failure.what())};
        }
    }
    return operations;
}

void add_run_operation(CLI::App& app, Chosen& chosen) {
    add_operation<Run>(app, chosen, "run", "Run the operations of a file, all on the same open device");
}

int run(const std::vector<std::string>& arguments, World& world) {
    return cli::guarded(kName, world.out, world.err, [&] { return run_checked(arguments, world); });
}

}  // namespace pcienic::ctl
