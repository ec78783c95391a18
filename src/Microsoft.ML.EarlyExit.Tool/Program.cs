using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
var interruption = new Interruption();
using PosixSignalRegistration registration = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => signal.Cancel = interruption.Signal());
var messages = new MessageWriter(StandardStreams.OpenError(), !Console.IsErrorRedirected);
return EarlyExitTool.Run(args, new ToolContext(StandardStreams.OpenOutput(), messages, interruption.Whole)
{
    Input = StandardStreams.OpenInput(interruption.Whole),
    Terminal = Terminal.OfProcess(interruption),
});
